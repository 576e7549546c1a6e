import sys
from contextlib import suppress

from . import TokenKind, describe
from .machine import Machine, Fault
from .syntax import Parser, SyntaxFault, dump
from .tokens import tokenize


def run(path, machine):
    failures = []
    with open(path) as stream:
        for number, line in enumerate(stream, 1):
            line = line.strip()
            if not line:
                continue
            try:
                tree = Parser(tokenize(line)).statement()
                shown = dump(tree)
                machine.execute(tree)
            except (SyntaxFault, Fault) as fault:
                failures.append((number, fault))
                print(f"{number}: {type(fault).__name__}: {fault}", file=sys.stderr)
            else:
                print(f"{number}: {len(shown)} {shown[:40]}")
    return failures


def main(argv):
    machine = Machine(limit=60)
    failures = run(argv[1], machine)
    for kind in TokenKind:
        print(describe(kind))
    print(machine.profile.most_common(3), machine)
    with suppress(KeyError):
        print(machine.names["nothing"])
    if failures:
        raise ExceptionGroup("failures", [fault for _, fault in failures])


if __name__ == "__main__":
    try:
        main(sys.argv)
    except* ZeroDivisionError as group:
        print("never", group)
    except* Fault as group:
        print("faults:", group.exceptions)
        sys.exit(3)
