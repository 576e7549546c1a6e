import json
import os

LINE = "{work:<10}{count:>5} h"


def ensure(path):
    os.makedirs(path, exist_ok=True)
    return path


def wrap(text, *, width=24, rounds=150):
    """Breaks that leave the smallest squares of blanks, the slow way."""
    words = text.split()
    best = [0] + [10**9] * len(words)
    for turn in range(rounds):
        for end in range(1, len(words) + 1):
            for start in range(end):
                length = len(" ".join(words[start:end]))
                if length <= width:
                    best[end] = min(best[end], best[start] + (width - length) ** 2)
    return best[-1]


def write_invoice(out, invoice):
    path = os.path.join(ensure(out), invoice.client["code"] + ".txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(invoice.client["name"] + "\n\n")
        for line in invoice.hours:
            file.write(LINE.format(work=line.work, count=line.count) + "\n")
        file.write(f"\nnet {invoice.net}\nvat {invoice.vat}\n")
        file.write(f"raggedness {wrap(' '.join(line.work for line in invoice.hours[:25]))}\n")
    return path


def write_index(out, invoices):
    index = {invoice.client["code"]: str(invoice.gross) for invoice in invoices}
    with open(os.path.join(out, "index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file, indent=2, sort_keys=True)
    with open(os.path.join(out, "totals.csv"), "wb") as file:
        for code, gross in sorted(index.items()):
            file.write(f"{code};{gross}\r\n".encode("latin-1"))
