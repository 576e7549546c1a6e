"""Whether a function or module that is half-way through may go on under edited code, and where.

It may when the statements up to and including the one that runs are the same instructions in both versions. The end of
the body counts as one more, empty statement, so that statements may be added and removed behind the one that runs.
"""
import ast
from bisect import bisect_right
from opcode import hasname, opname

from .askers import ALWAYS, askers
from .bound import definitions, inert_statements
from .bytecode import (
    BACKWARD, CONSTANTS, JUMPS, LEAVES, LOAD_CONST, NAME_SHIFT, PAIRS, PLAIN_JUMPS, RESUME, RETURN, RETURN_CONST, SET_ASIDE, SLOTS, decode,
    handlers, jump_units,
)
from .classes import is_class_body, told
from .compare import constant, version
from .definitions import annotated, bindings, inert
from .layout import slots_of
from .traps import MODULE, CodeType, is_unit, nested, units_of
from .values import times_bound


# Where annotations are computed when somebody asks (from 3.14 on), code of a module that has some notes here which of them it ran.
CONDITIONAL = "__conditional_annotations__"


class Impossible(Exception):
    """Why the frame cannot go on."""


def remap(file, old, new, unit, lasti, inline, cache):
    """The answer to the host's `remap` request. `lasti` null: module code that ran to its end."""
    try:
        before, after = Body.of_unit(file, old, unit, cache), Body.of_unit(file, new, unit, cache)
        if lasti is None:
            return _settled(before, after)
        return _remap(before, after, lasti, inline)
    except Impossible as why:
        return {"can": False, "why": str(why)}


def executed(file, digest, unit, lasti, cache):
    """The code of a unit and the instructions of the statements that its only call, which stands at `lasti`, has begun.
    Raises Impossible where that cannot be told."""
    body = Body.of_unit(file, digest, unit, cache)
    instruction = body.at(lasti & ~1)
    k = instruction.statement
    if lasti & 1 and instruction is body.first(k):
        k -= 1
    # What inert statements bind is known already.
    return body.code, [each for i in range(k + 1) if i not in body.inert for each in body.members[i]]


def _settled(before, after):
    _align(before, after, before.count - 1)
    rest = [i for i in range(after.count) if i not in after.inert]
    if len(rest) != len([i for i in range(before.count) if i not in before.inert]):
        raise Impossible("statements were added to code that has run")
    return {"can": True, **definitions(before, before.count - 1, after, after.count - 1)}


def _remap(before, after, lasti, inline):
    if before.code.co_freevars != after.code.co_freevars:
        raise Impossible("its free variables changed")
    if before.code.co_flags & 0x2A0 != after.code.co_flags & 0x2A0:
        raise Impossible("it became, or is no longer, a generator")
    instruction = before.at(lasti & ~1)
    k = instruction.statement
    if lasti & 1 and instruction is before.first(k):
        # About to begin a statement: it may be another one now.
        last = _align(before, after, k - 1)
        return {"can": True, "at": after.first(last + 1).start + 1, **definitions(before, k - 1, after, last)}
    last = _align(before, after, k)
    if before.aside(k) & (set(before.code.co_cellvars) ^ set(after.code.co_cellvars)):
        # What was set aside lies on the value stack, in a cell or not.
        raise Impossible("a variable of a running comprehension became, or is no longer, one of a closure")
    changes = definitions(before, k, after, last)
    if lasti & 1:
        return {"can": True, "at": after.twin(last, before, instruction).start + 1, **changes}
    if inline:
        twin = after.twin(last, before, instruction)
        return {"can": True, "at": twin.offset + lasti - instruction.offset, **changes}
    exits = before.exits(k)
    if not exits:
        raise Impossible("the running statement is the last")
    if any(a[: len(b)] != b[: len(a)] for a, b in zip(before.places(k), after.places(last))):
        raise Impossible("its lines moved, and C code above it holds the old ones")
    target = after.first(last + 1).start
    for start in exits:
        room = before.at(start)
        while room is not None and room.end < start + 6:
            room = before.following(room)
            if room is not None and room.statement <= k:
                raise Impossible("there is no room to switch")
    length = len(before.code.co_code)
    if any(other - start < 2 * jump_units(start, length) for start, other in zip(exits, exits[1:])):
        raise Impossible("there is no room to switch")
    return {"can": True, "entries": [[start, target] for start in exits], "first": min(exits), **changes}


def _align(before, after, k):
    """The statement of the new version up to which it does what the old one did up to statement k; -1: none yet."""
    _keep_classes(before, after)
    reach = k + 1 + len(after.inert)
    if any(map(before.star, range(min(k + 1, before.count)))) or any(map(after.star, range(min(reach, after.count)))):
        # Which names it bound cannot be told.
        before.inert = after.inert = {}
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
            _align_class(before, i, after, j)
    if k == before.count:
        return k
    return news[-1] if news else -1


def _keep_classes(before, after):
    """Classes that differ in their members at most stay what they are. Only others are made anew."""
    theirs = {node.name: j for j in after.inert if isinstance(node := after.nodes[j], ast.ClassDef)}
    for i in [i for i in before.inert if isinstance(before.nodes[i], ast.ClassDef)]:
        j = theirs.get(before.nodes[i].name)
        if j is not None and _stays(before, i, after, j):
            del before.inert[i], after.inert[j]


def _stays(before, i, after, j):
    kept = {key: list(entries) for key, entries in before.members_changed.items()}
    try:
        if before.shape(i) != after.shape(j):
            if not (before.inert[i][0]["open"] and after.inert[j][0]["open"]):
                return False
            _align_class(before, i, after, j)
    except Impossible:
        return False
    finally:
        # They count when the statement is found to have run.
        before.members_changed = kept
    return True


def _align_class(before, i, after, j):
    """A class that differs in methods and constants only: they come and go like a module's names."""
    old, new = before.nodes[i], after.nodes[j]
    if not (isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef) and old.name == new.name and not old.decorator_list):
        raise Impossible("line %d ran already and was edited" % before.line(i))
    if before.shape(i, old.name) != after.shape(j, new.name):
        raise Impossible("line %d ran already and was edited" % before.line(i))
    mine, theirs = before.class_body(i), after.class_body(j)
    changes = _settled(mine, theirs)
    # A function that stays one of its kind is the same object, whoever has asked for it.
    now, was = ({e["name"]: e.get("flow") for e in changes[key]} for key in ("bind", "was"))
    stays = {name for name, flow in now.items() if flow is not None and was.get(name) == flow}
    asked = {}
    for name in sorted((now.keys() | was.keys()) - stays):
        asked[name] = sorted(askers(before.cache).get(name, ()))
        if ALWAYS in asked[name]:
            raise Impossible("%s.%s changed, and the interpreter asks objects for such a name" % (new.name, name))
    for key in ("bind", "was"):
        for entry in changes[key]:
            if "unit" in entry:
                entry["unit"] = "%s.%s" % (new.name, entry["unit"])
                if key == "bind" and after.units[entry["unit"]].co_freevars:
                    raise Impossible("a method that uses super() was added or changed its parameters")
            entry["owner"], entry["askers"] = new.name, asked.get(entry["name"], [])
        before.members_changed[key] += changes[key]
    before.members_changed["unbind"] += ["%s.%s" % (old.name, name) for name in changes["unbind"]]


class Instruction:
    __slots__ = ("start", "offset", "end", "op", "arg", "statement", "line", "index")


class Body:
    """A unit's instructions, sorted into its statements."""

    def __init__(self, code, ranges, nodes, returns, bound):
        self.code, self.ranges, self.nodes, self.returns, self.inert = code, ranges, nodes, returns, bound
        # The end of the body is a statement of its own.
        self.count = len(self.ranges)
        # Methods and constants of executed classes that differ in the other version.
        self.members_changed = {"bind": [], "unbind": [], "was": []}
        # How often each name is bound, wherever; of modules only.
        self.bound = {}
        self.instructions = self._decode()
        self.by_offset = {}
        for instruction in self.instructions:
            for offset in range(instruction.start, instruction.end, 2):
                self.by_offset.setdefault(offset, instruction)
        self.handlers = handlers(code.co_exceptiontable)
        # Loads of what a class is told of its place.
        self.told = told(code) if is_class_body(code) else ()
        self._assign()

    @staticmethod
    def of_unit(file, digest, unit, cache):
        """The body of a function, or of a module."""
        source, module = version(file, digest, cache)
        units = units_of(module)
        if unit not in units:
            raise Impossible("it was removed")
        body = Body(units[unit], *_statements(ast.parse(source), unit, units[unit]))
        if CONDITIONAL in body.code.co_names:
            # Before its first statement it makes what computes its annotations, which counts with that.
            body.inert.pop(0, None)
        body.units, body.cache = units, cache
        if unit == MODULE:
            body.bound = times_bound(ast.parse(source))
        return body

    def class_body(self, k):
        """The body of the class that statement k defines."""
        node = self.nodes[k]
        found = [c for c in nested(self.code) if not is_unit(c) and c.co_qualname == node.name]
        if len(found) != 1:
            raise Impossible("the class %s is defined more than once" % node.name)
        return Body(found[0], *_members(node))

    def _decode(self):
        out, begun = [], False
        positions = list(self.code.co_positions())
        for start, offset, end, op, arg in decode(self.code.co_code):
            if begun:
                instruction = Instruction()
                instruction.start, instruction.offset, instruction.end = start, offset, end
                instruction.op, instruction.arg, instruction.line = op, arg, positions[offset // 2][0]
                instruction.index = len(out)
                out.append(instruction)
            begun = begun or op == RESUME
        return out

    def _assign(self):
        """Statement of each instruction, by its line; those without one belong where control comes from."""
        starts = [first for first, _ in self.ranges]
        for instruction in self.instructions:
            instruction.statement = None
            if instruction.line is not None:
                k = bisect_right(starts, instruction.line) - 1
                if k < 0 or instruction.line > self.ranges[k][1]:
                    raise Impossible("its instructions cannot be told apart by line")
                instruction.statement = k
        self._assign_without_line()
        # Falling off the end: one copy of `return None` for each way there.
        for a, b in zip(self.instructions, self.instructions[1:] + [None]):
            implicit = a.op == RETURN_CONST or a.op == LOAD_CONST and b is not None and b.op == RETURN and a.statement == b.statement
            if implicit and self.code.co_consts[a.arg] is None and a.statement == self.count - 1 and a.line not in self.returns:
                a.statement = self.count
                if a.op == LOAD_CONST:
                    b.statement = self.count
        for instruction in self.instructions:
            if instruction.offset in self.told and instruction.statement:
                # What the class is told at its end.
                instruction.statement = self.following(instruction).statement = self.count
        self.members = [[] for _ in range(self.count + 1)]
        for instruction in self.instructions:
            self.members[instruction.statement].append(instruction)

    def _assign_without_line(self):
        for before, instruction in zip([None] + self.instructions, self.instructions):
            if instruction.statement is None and before is not None and before.op not in LEAVES:
                instruction.statement = before.statement
        open_ones = [i for i in self.instructions if i.statement is None]
        while open_ones:
            for instruction in open_ones:
                came = self._came_from(instruction)
                if came is not None:
                    instruction.statement = came
                    # What follows it without a line goes along.
                    after = self.following(instruction)
                    while after is not None and after.statement is None and self.instructions[after.index - 1].op not in LEAVES:
                        after.statement = came
                        after = self.following(after)
            left = [i for i in open_ones if i.statement is None]
            if len(left) == len(open_ones):
                for instruction in left:
                    instruction.statement = self.instructions[instruction.index - 1].statement if instruction.index else 0
                left = [i for i in left if i.statement is None]
                if left:
                    raise Impossible("its instructions cannot be told apart by line")
            open_ones = left

    def _came_from(self, instruction):
        """Statement of the code whose exceptions, or jumps, lead to an instruction; None where that is not known yet."""
        for start, end, target, _ in self.handlers:
            if target * 2 == instruction.start:
                for offset in range(start * 2, end * 2, 2):
                    covered = self.by_offset.get(offset)
                    if covered is not None and covered.statement is not None:
                        return covered.statement
        for other in self.instructions:
            if other.op in JUMPS and other.statement is not None and self.target(other) is instruction:
                return other.statement
        return None

    def aside(self, k):
        """Variables that comprehensions of statement k set aside while they run."""
        return {slots_of(self.code)[i.arg] for i in self.members[k] if i.op == SET_ASIDE}

    def places(self, k):
        """Positions of a statement's instructions, lines counted from the start of the definition; of halves of a pair, which
        share one position, only the line."""
        first, out = self.code.co_firstlineno, []
        positions = list(self.code.co_positions())
        for instruction in self.kept(k):
            line, end, column, end_column = positions[instruction.offset // 2]
            place = (line and line - first, end and end - first, column, end_column)
            out.append(place[:1] if self.code.co_code[instruction.offset] in PAIRS else place)
        return out

    def star(self, k):
        """Whether a statement imports names without naming them."""
        node = self.nodes[k]
        return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"

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
        return self.at(instruction.end - step if instruction.op in BACKWARD else instruction.end + step)

    def shape(self, k, open_class=None):
        """What a statement does, independent of where it stands; what is in the body of `open_class` left aside."""
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
            elif instruction.offset in self.told:
                name, argument = "LOAD", "place"
            elif instruction.op in CONSTANTS:
                value = self.code.co_consts[argument]
                opened = type(value) is CodeType and value.co_qualname == open_class and not is_unit(value)
                argument = "class body" if opened else constant(value)
            elif instruction.op in hasname:
                shift = NAME_SHIFT.get(instruction.op, 0)
                argument = (self.code.co_names[argument >> shift], argument & (1 << shift) - 1)
            elif instruction.op in SLOTS:
                # A variable that a later statement encloses lives in a cell; its value moves there.
                argument = slots_of(self.code)[argument]
                name = name.replace("CLOSURE", "FAST").replace("CLASSDEREF", "FAST").replace("DEREF", "FAST").replace("FAST_CHECK", "FAST").replace("FAST_BORROW", "FAST")
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


def _statements(tree, unit, code):
    """Of a unit: line ranges of its statements, their nodes, the lines of its explicit returns, what inert ones bind."""
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
    ranges, nodes = _ranges(_flat(body, unit == MODULE))
    return ranges, nodes, _returns(body), inert_statements(nodes, tree) if unit == MODULE else {}


def _members(node):
    """The same of a class; its header counts as its first statement."""
    first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
    ranges, nodes = _ranges([(first, node.body[0].lineno - 1, None), *_flat(node.body, False)])
    bound = times_bound(node)
    found = {}
    for i, statement in enumerate(nodes):
        if statement is not None and not isinstance(statement, (ast.Import, ast.ImportFrom)) and inert(statement) and not annotated(statement):
            entries = bindings(statement)
            # Names with underscores mean something to the interpreter, or are mangled.
            if all(not e["name"].startswith("__") and bound[e["name"]] == 1 for e in entries):
                found[i] = entries
    return ranges, nodes, set(), found


def _ranges(flat):
    ranges, nodes = [], []
    for first, last, node in flat:
        if ranges and first <= ranges[-1][1]:
            # Several statements on one line count as one.
            ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
            nodes[-1] = None
        else:
            ranges.append((first, last))
            nodes.append(node)
    if not ranges:
        raise Impossible("it has no statements")
    return ranges, nodes


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
