"""Whether a function or module that is half-way through may go on under edited code, and where.

It may when the statements up to and including the one that runs are the same instructions in both versions. The end of
the body counts as one more, empty statement, so that statements may be added and removed behind the one that runs.
"""
import ast
from bisect import bisect_right
from opcode import hascompare, hasconst, hasfree, haslocal, hasname, opmap, opname

from .compare import constant, version
from .definitions import bindings, inert
from .traps import CACHES, EXT, JUMPS, MODULE, RESUME, handlers, units_of

LOAD_GLOBAL, LOAD_CONST, RETURN = opmap["LOAD_GLOBAL"], opmap["LOAD_CONST"], opmap["RETURN_VALUE"]
LEAVES = {opmap[n] for n in ("RETURN_VALUE", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")}
PLAIN_JUMPS = {opmap[n] for n in ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")}


class Impossible(Exception):
    """Why the frame cannot go on."""


def remap(file, old, new, unit, lasti, inline, cache):
    """The answer to the host's `remap` request. `lasti` null: module code that ran to its end."""
    try:
        before, after = Body(file, old, unit, cache), Body(file, new, unit, cache)
        if lasti is None:
            return _settled(before, after)
        return _remap(before, after, lasti, inline)
    except Impossible as why:
        return {"can": False, "why": str(why)}


def _settled(before, after):
    _align(before, after, before.count - 1)
    rest = [i for i in range(after.count) if i not in after.inert]
    if len(rest) != len([i for i in range(before.count) if i not in before.inert]):
        raise Impossible("statements were added to a module that has run")
    return {"can": True, **_definitions(before, before.count - 1, after, after.count - 1)}


def _remap(before, after, lasti, inline):
    if before.code.co_freevars != after.code.co_freevars:
        raise Impossible("its free variables changed")
    instruction = before.at(lasti & ~1)
    k = instruction.statement
    if lasti & 1 and instruction is before.first(k):
        # About to begin a statement: it may be another one now.
        last = _align(before, after, k - 1)
        return {"can": True, "at": after.first(last + 1).start + 1, **_definitions(before, k - 1, after, last)}
    last = _align(before, after, k)
    changes = _definitions(before, k, after, last)
    if lasti & 1:
        return {"can": True, "at": after.twin(last, before, instruction).start + 1, **changes}
    if inline:
        twin = after.twin(last, before, instruction)
        return {"can": True, "at": twin.offset + lasti - instruction.offset, **changes}
    exits = before.exits(k)
    if not exits:
        raise Impossible("the running statement is the last")
    target = after.first(last + 1).start
    for start in exits:
        room = before.at(start)
        while room is not None and room.end < start + 6:
            room = before.following(room)
            if room is not None and room.statement <= k:
                raise Impossible("there is no room to switch")
    return {"can": True, "entries": [[start, target] for start in exits], "first": min(exits), **changes}


def _align(before, after, k):
    """The statement of the new version up to which it does what the old one did up to statement k; -1: none yet."""
    if k == before.count:
        if before.count != after.count or before.inert or after.inert:
            raise Impossible("its end was edited")
        olds, news = list(range(k)), list(range(k))
    else:
        olds = [i for i in range(k + 1) if i not in before.inert]
        news = [i for i in range(after.count) if i not in after.inert][: len(olds)]
    if len(news) < len(olds):
        raise Impossible("an executed statement was removed")
    for i, j in zip(olds, news):
        if before.shape(i) != after.shape(j):
            raise Impossible("line %d ran already and was edited" % before.line(i))
    if k == before.count:
        return k
    return news[-1] if news else -1


def _definitions(before, k, after, last):
    """Functions to bind and to unbind, so that the module holds what the new version would have bound by now."""
    had = {entry["name"]: entry for i in before.inert if i <= k for entry in before.inert[i]}
    has = {entry["name"]: entry for i in after.inert if i <= last for entry in after.inert[i]}
    return {
        "bind": [entry for name, entry in has.items() if had.get(name) != entry],
        "unbind": [name for name in had if name not in has],
    }


class Instruction:
    __slots__ = ("start", "offset", "end", "op", "arg", "statement", "line", "index")


class Body:
    """A unit's instructions, sorted into its statements."""

    def __init__(self, file, digest, unit, cache):
        source, module = version(file, digest, cache)
        code = units_of(module).get(unit)
        if code is None:
            raise Impossible("it was removed")
        self.code = code
        self.ranges, self.returns, self.inert = _statements(ast.parse(source), unit, code)
        # The end of the body is a statement of its own.
        self.count = len(self.ranges)
        self.instructions = self._decode()
        self.by_offset = {}
        for instruction in self.instructions:
            for offset in range(instruction.start, instruction.end, 2):
                self.by_offset[offset] = instruction
        self._assign()
        self.handlers = handlers(code.co_exceptiontable)

    def _decode(self):
        out, bytecode, i, begun = [], self.code.co_code, 0, False
        positions = list(self.code.co_positions())
        start, arg = 0, 0
        while i < len(bytecode):
            op, arg = bytecode[i], arg << 8 | bytecode[i + 1]
            if op == EXT:
                i += 2
                continue
            instruction = Instruction()
            instruction.start, instruction.offset, instruction.op, instruction.arg = start, i, op, arg
            instruction.line = positions[i // 2][0]
            i += 2 + 2 * CACHES[op]
            instruction.end = i
            start, arg = i, 0
            if begun:
                instruction.index = len(out)
                out.append(instruction)
            elif op == RESUME:
                begun = True
        return out

    def _assign(self):
        """Statement of each instruction, by its line; those without one belong with the instruction before them."""
        starts = [first for first, _ in self.ranges]
        last = 0
        for instruction in self.instructions:
            if instruction.line is not None:
                k = bisect_right(starts, instruction.line) - 1
                if k < 0 or instruction.line > self.ranges[k][1]:
                    raise Impossible("its instructions cannot be told apart by line")
                last = k
            instruction.statement = last
        # Falling off the end: one copy of `return None` for each way there.
        for a, b in zip(self.instructions, self.instructions[1:]):
            implicit = a.op == LOAD_CONST and b.op == RETURN and self.code.co_consts[a.arg] is None
            if implicit and a.statement == b.statement == self.count - 1 and a.line not in self.returns:
                a.statement = b.statement = self.count
        self.members = [[] for _ in range(self.count + 1)]
        for instruction in self.instructions:
            self.members[instruction.statement].append(instruction)

    def line(self, k):
        return self.ranges[k][0] if k < self.count else self.code.co_firstlineno

    def at(self, offset):
        instruction = self.by_offset.get(offset)
        if instruction is None:
            raise Impossible("it stands outside its statements")
        return instruction

    def following(self, instruction):
        return self.instructions[instruction.index + 1] if instruction.index + 1 < len(self.instructions) else None

    def first(self, k):
        if k > self.count or not self.members[k]:
            raise Impossible("nothing follows the running statement")
        return self.members[k][0]

    def kept(self, k):
        """Instructions of a statement without jumps that only lead to the next one."""
        return [i for i in self.members[k] if not (i.op in PLAIN_JUMPS and self.target(i).statement > k)]

    def twin(self, k, other, instruction):
        """The instruction of statement k that corresponds to one of the other version."""
        if instruction.statement == other.count:
            return self.first(self.count)
        place = other.kept(instruction.statement)
        if instruction not in place:
            raise Impossible("it stands between statements")
        return self.kept(k)[place.index(instruction)]

    def target(self, instruction):
        step = 2 * instruction.arg
        return self.at(instruction.end - step if "BACKWARD" in opname[instruction.op] else instruction.end + step)

    def shape(self, k):
        """What a statement does, independent of where it stands."""
        members = self.kept(k)
        places = {i.index: n for n, i in enumerate(members)}

        def place(instruction):
            while instruction.statement <= k and instruction.index not in places and instruction.op in PLAIN_JUMPS:
                instruction = self.target(instruction)
            if instruction.statement > k:
                if instruction is not self.first(k + 1) and instruction.statement != self.count:
                    raise Impossible("the running statement leads past the next one")
                return "next"
            if instruction.statement < k:
                raise Impossible("a statement leads back")
            return places[instruction.index]

        out = []
        for instruction in members:
            covering = [h for h in self.handlers if h[0] * 2 <= instruction.offset < h[1] * 2]
            caught = tuple((place(self.at(h[2] * 2)), h[3]) for h in covering)
            name, argument = opname[instruction.op], instruction.arg
            if instruction.op in JUMPS:
                argument = place(self.target(instruction))
                name = name.replace("_BACKWARD", "").replace("_FORWARD", "")
            elif instruction.op in hasconst:
                argument = constant(self.code.co_consts[argument])
            elif instruction.op == LOAD_GLOBAL:
                argument = (self.code.co_names[argument >> 1], argument & 1)
            elif instruction.op in hasname:
                argument = self.code.co_names[argument]
            elif instruction.op in haslocal:
                argument = self.code.co_varnames[argument]
            elif instruction.op in hasfree:
                # A variable that a later statement encloses lives in a cell; its value moves there.
                argument = _slot(self.code, argument)
                name = name.replace("CLOSURE", "FAST").replace("CLASSDEREF", "FAST").replace("DEREF", "FAST")
            elif instruction.op in hascompare:
                argument = instruction.arg
            out.append((name, argument, caught))
        return out

    def exits(self, k):
        """Starts of all instructions behind statement k that control can reach from it."""
        found = set()
        for i in range(k + 1):
            for instruction in self.members[i]:
                if instruction.op in JUMPS:
                    target = self.target(instruction)
                    if target.statement > k:
                        found.add(target.start)
                if instruction.op not in LEAVES:
                    after = self.following(instruction)
                    if after is not None and after.statement > k:
                        found.add(after.start)
        for start in found:
            if self.at(start).statement != self.count and start != self.first(k + 1).start:
                raise Impossible("the running statement leads past the next one")
        return sorted(found)


def _slot(code, number):
    cells = [x for x in code.co_cellvars if x not in code.co_varnames]
    return (list(code.co_varnames) + cells + list(code.co_freevars))[number]


def _statements(tree, unit, code):
    """Line ranges of a unit's statements, and the lines of its explicit returns."""
    if unit == MODULE:
        body = tree.body
    else:
        name = code.co_name
        found = [
            node for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
            and (node.decorator_list[0].lineno if node.decorator_list else node.lineno) == code.co_firstlineno
        ]
        if len(found) != 1:
            raise Impossible("its definition was not found")
        body = found[0].body
    ranges, nodes = [], []
    for first, last, node in _flat(body, unit == MODULE):
        if ranges and first <= ranges[-1][1]:
            # Several statements on one line count as one.
            ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
            nodes[-1] = None
        else:
            ranges.append((first, last))
            nodes.append(node)
    if not ranges:
        raise Impossible("it has no statements")
    return ranges, _returns(body), _inert(nodes, tree) if unit == MODULE else {}


def _inert(nodes, tree):
    """{statement: what it binds} of statements that only bind names which nothing else in the file binds."""
    found = {i: bindings(node) for i, node in enumerate(nodes) if node is not None and inert(node, node is tree.body[0])}
    bound = {}
    for node in ast.walk(tree):
        names = ()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names = (node.id,)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = (node.name,)
        elif isinstance(node, ast.alias):
            names = ((node.asname or node.name).split(".")[0],)
        for name in names:
            bound[name] = bound.get(name, 0) + 1
    return {i: entries for i, entries in found.items() if all(bound.get(e["name"], 1) == 1 for e in entries)}


def _flat(body, main):
    for statement in body:
        decorators = getattr(statement, "decorator_list", None)
        first = decorators[0].lineno if decorators else statement.lineno
        if main and isinstance(statement, ast.If) and not statement.orelse and "__name__" in ast.dump(statement.test):
            yield statement.lineno, statement.test.end_lineno, None
            for inner, end, _ in _flat(statement.body, False):
                yield inner, end, None
        else:
            yield first, statement.end_lineno, statement


def _returns(body):
    lines, todo = set(), list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            lines.update(range(node.lineno, node.end_lineno + 1))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)
    return lines
