"""Places of a source that people name: functions and lines."""
from .compare import version
from .traps import MODULE, line_starts, units_of


def place(file, digest, name, line, cache):
    """Where a program can be stopped: {"places": [[unit, line], …]}. `name`: a function, its last parts will do; `line`: the
    first line from there on that does something. For a function the line is null: it stops before its first instruction."""
    units = units_of(version(file, digest, cache)[1])
    if name is not None:
        found = [[unit, None] for unit in units if unit != MODULE and _is_named(unit.rpartition("#")[0], name)]
        return {"places": found, "names": sorted({unit.rpartition("#")[0] for unit in units if unit != MODULE})}
    starts = [(start, -code.co_firstlineno, unit) for unit, code in units.items() for _, _, start in line_starts(code) if start >= line]
    # Of two that share a line, the inner one: it is what people mean by it.
    return {"places": [[unit, start] for start, _, unit in sorted(starts)[:1]], "names": []}


def _is_named(qualname, name):
    plain = qualname.replace(".<locals>", "")
    return name in (qualname, plain) or plain.endswith("." + name)
