import argparse
import sys

from invoice.reading import read_clients, read_hours, read_tariff
from invoice.rendering import write_index, write_invoice
from invoice.sums import Invoice, audit


def parser():
    top = argparse.ArgumentParser(prog="invoice", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write one invoice a client")
    make.add_argument("--clients", required=True)
    make.add_argument("--tariff", required=True)
    make.add_argument("--out", default="out")
    make.add_argument("--verbose", action="store_true")
    make.add_argument("--rounding", type=int, default=2)
    commands.add_parser("check", help="read everything, write nothing")
    return top


def check(options):
    print("nothing to check in", options.out)
    return 0


def build(options):
    clients = read_clients(options.clients)
    tariff = read_tariff(options.tariff)
    hours = read_hours(sys.stdin)
    if options.verbose:
        print(f"{len(clients)} clients, {len(hours)} lines of hours", file=sys.stderr)
    invoices = []
    for code in sorted(clients):
        own = [line for line in hours if line.client == code]
        invoice = Invoice(clients[code], own, tariff, options.rounding)
        invoices.append(invoice)
        path = write_invoice(options.out, invoice)
        print(f"{path}: {invoice.gross:.2f}")
    print("audit", audit(invoices))
    write_index(options.out, invoices)
    unpaid = [invoice for invoice in invoices if invoice.gross > 10000]
    return 3 if unpaid else 0


def main(arguments=None):
    options = parser().parse_args(arguments)
    actions = {"build": build, "check": check}
    code = actions[options.command](options)
    print("done", options.command, code)
    return code


if __name__ == "__main__":
    sys.exit(main())
