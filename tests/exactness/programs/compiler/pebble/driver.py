"""Builds and runs every script of a directory."""

import sys
from functools import lru_cache
from pathlib import Path

from . import nodes
from .code import disassemble
from .compiler import compile_program
from .errors import PebbleError, SyntaxFault
from .folding import fold_all
from .machine import Machine
from .parser import parse

LIBRARY = Path("library")


@lru_cache(maxsize=None)
def module(name):
    path = LIBRARY / f"{name}.pb"
    if not path.exists():
        return None
    return parse(path.read_text(encoding="utf-8"))


def link(body):
    """The program with the modules it uses in front of it."""
    linked = []
    for node in body:
        if not isinstance(node, nodes.Use):
            linked.append(node)
            continue
        found = module(node.module)
        if found is None:
            raise SyntaxFault(f"there is no module {node.module}", node.line)
        linked.extend(found)
    return linked


def build(path, out):
    tree = parse(path.read_text(encoding="utf-8"))
    code = compile_program(path.stem, fold_all(link(tree)))
    listing = out / f"{path.stem}.lst"
    listing.write_text("\n".join(disassemble(code)) + "\n", encoding="utf-8")
    return code, nodes.count(tree)


def execute(code):
    machine = Machine()
    try:
        return machine.run(code), machine.steps
    except PebbleError as error:
        return [*machine.output, error.show(code.name)], machine.steps


def read_expected(path):
    """Lines of every script: `name: line`."""
    expected = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition(": ")
        expected.setdefault(name, []).append(text)
    return expected


def judge(name, lines, expected):
    wanted = expected.get(name, [])
    if lines == wanted:
        return True
    for place in range(max(len(lines), len(wanted))):
        got = lines[place] if place < len(lines) else "nothing"
        want = wanted[place] if place < len(wanted) else "nothing"
        if got != want:
            print(f"  {name}: {got!r}, expected {want!r}")
    return False


def main(arguments):
    directory = Path(arguments[0])
    out = Path("build")
    out.mkdir(exist_ok=True)
    expected = read_expected(directory / "expected.txt")
    failed, total = [], 0
    for path in sorted(directory.glob("*.pb")):
        try:
            code, size = build(path, out)
        except PebbleError as error:
            print(error.show(path.name), file=sys.stderr)
            failed.append(path.stem)
            continue
        lines, steps = execute(code)
        total += steps
        print(f"{path.stem:<12} {size:>5} nodes {steps:>8} steps  {lines[-1] if lines else ''}")
        if not judge(path.stem, lines, expected):
            failed.append(path.stem)
    print(total, "steps,", len(failed), "failed", *failed)
    return 1 if failed else 0
