"""Edits inside functions: constants, operators, expressions, statements."""

import ast
import io
import tokenize

from project import enclosing_function, is_docstring
from registry import Edit, kind, shuffled

OPERATORS = {
    b"+": b"-",
    b"-": b"+",
    b"*": b"+",
    b"//": b"*",
    b"<": b"<=",
    b"<=": b"<",
    b">": b">=",
    b">=": b">",
    b"==": b"!=",
    b"!=": b"==",
    b"and": b"or",
    b"or": b"and",
    b"%": b"+",
}
INSERTED = [
    b'print("inserted", %d)',
    b"inserted_%d = [number * 2 for number in range(5)]",
    b"for inserted in range(%d):\n    pass",
    b"import math\nprint(math.factorial(%d %% 10))",
    b"if %d > 3:\n    print('larger')\nelse:\n    print('smaller')",
    b"pass",
    b"assert %d >= 0, 'never'",
    b"try:\n    int('x%d')\nexcept ValueError as error:\n    print(error)",
    b"with open(__file__, encoding='utf-8') as inserted:\n    inserted.readline()",
]
SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete, ast.Assert)


def new_constant(random, value):
    """Source of another constant of the same type, or None."""
    if isinstance(value, bool):
        return repr(not value)
    if isinstance(value, int):
        return repr(value + random.choice([1, 2, -1]) if value > 1 else value + 1)
    if isinstance(value, float):
        return repr(round(value * random.choice([0.5, 1.1, 2.0]), 4))
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return repr(value + random.choice(["!", " x", "?"]))
    return None


def constants(module, root):
    """Constants below `root` that stand in the text on their own (not inside f-strings)."""
    for node in ast.walk(root):
        if isinstance(node, ast.JoinedStr):
            for part in ast.walk(node):
                part.in_fstring = True
    for node in ast.walk(root):
        if not isinstance(node, ast.Constant) or getattr(node, "in_fstring", False):
            continue
        if isinstance(getattr(node, "parent", None), ast.Expr) and isinstance(node.value, str):
            continue
        yield node


def functions_of(project, random, names=None):
    pairs = [(module, function) for module in project.modules() for function in module.functions()]
    if names is not None:
        pairs = [pair for pair in pairs if pair[1].name in names]
    return shuffled(random, pairs)


def where(module, node):
    function = enclosing_function(node)
    return f"{module.path}:{node.lineno}" + (f" in {function.name}" if function else "")


def change_constant(module, root, random):
    for node in shuffled(random, constants(module, root)):
        changed = new_constant(random, node.value)
        if changed is not None:
            start, end = module.span(node)
            what = f"{where(module, node)}: {node.value!r} -> {changed}"
            return Edit(what, {module.path: module.replaced((start, end, changed.encode()))})
    return None


@kind("body-constant", 3)
def body_constant(project, random):
    for module, function in functions_of(project, random):
        for statement in shuffled(random, function.body):
            edit = change_constant(module, statement, random)
            if edit:
                return edit
    return None


def operator_pieces(module, left, right):
    start, end = module.span(left)[1], module.span(right)[0]
    gap = module.data[start:end]
    names = sorted(OPERATORS, key=len, reverse=True)
    stripped = gap.strip()
    for name in names:
        if stripped == name:
            at = start + gap.index(name)
            return at, at + len(name), OPERATORS[name]
    return None


@kind("body-operator", 2)
def body_operator(project, random):
    for module, function in functions_of(project, random):
        for node in shuffled(random, ast.walk(function)):
            sides = None
            if isinstance(node, ast.BinOp):
                sides = (node.left, node.right)
            elif isinstance(node, ast.Compare):
                sides = (node.left, node.comparators[0])
            elif isinstance(node, ast.BoolOp):
                sides = (node.values[0], node.values[1])
            piece = sides and operator_pieces(module, *sides)
            if piece:
                what = f"{where(module, node)}: operator becomes {piece[2].decode()}"
                return Edit(what, {module.path: module.replaced(piece)})
    return None


def inserted_source(random, statement, indent):
    source = random.choice(INSERTED)
    if b"%d" in source:
        source = source % random.randrange(2, 9)
    return b"".join(indent + line + b"\n" for line in source.split(b"\n"))


def places(module, owner):
    """Statements that own their lines and may have something put before them."""
    for statement in module.statements(owner):
        if module.lines_of(statement) and not is_docstring(statement):
            if not isinstance(statement, ast.ImportFrom) or statement.module != "__future__":
                yield statement


def insert_before(module, statement, source, what):
    start = module.lines_of(statement)[0]
    return Edit(f"{where(module, statement)}: {what}", {module.path: module.replaced((start, start, source))})


def insert_in(module, owner, random):
    for statement in shuffled(random, places(module, owner)):
        source = inserted_source(random, statement, module.indent(statement))
        return insert_before(module, statement, source, f"inserted {source.strip().decode()!r}")
    return None


def remove_in(module, owner, random):
    for statement in shuffled(random, places(module, owner)):
        if isinstance(statement, SIMPLE) and len(module.block_of(statement)) > 1:
            start, end = module.lines_of(statement)
            what = f"{where(module, statement)}: removed {module.text(statement).decode()[:60]!r}"
            return Edit(what, {module.path: module.replaced((start, end, b""))})
    return None


def move_in(module, owner, random):
    for statement in shuffled(random, places(module, owner)):
        block = module.block_of(statement)
        index = block.index(statement)
        other = block[index + 1] if index + 1 < len(block) else None
        if other is None or not module.lines_of(other):
            continue
        if isinstance(other, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            continue
        (a, b), (c, d) = module.lines_of(statement), module.lines_of(other)
        text = module.data[c:d] + module.data[b:c] + module.data[a:b]
        what = f"{where(module, statement)}: swapped with the next statement"
        return Edit(what, {module.path: module.replaced((a, d, text))})
    return None


def in_functions(change, names=None):
    def edit(project, random):
        chosen = names(project) if names else None
        for module, function in functions_of(project, random, chosen):
            found = change(module, function, random)
            if found:
                return found
        return None

    return edit


def on_stack(project):
    return project.stack


kind("body-insert", 2)(in_functions(insert_in))
kind("body-remove", 2)(in_functions(remove_in))
kind("body-move", 2)(in_functions(move_in))
kind("stack-insert", 3)(in_functions(insert_in, on_stack))
kind("stack-remove", 2)(in_functions(remove_in, on_stack))
kind("stack-move", 2)(in_functions(move_in, on_stack))


@kind("stack-late", 3)
def stack_late(project, random):
    """A change in the last third of a function on the stack: what people do most while they work."""
    for module, function in functions_of(project, random, project.stack):
        body = function.body[-max(1, len(function.body) // 3) :]
        for statement in shuffled(random, body):
            if random.random() < 0.5:
                edit = change_constant(module, statement, random)
                if edit:
                    return edit
            if module.lines_of(statement) and not is_docstring(statement):
                source = inserted_source(random, statement, module.indent(statement))
                return insert_before(module, statement, source, "inserted late")
    return None


@kind("body-print", 2)
def body_print(project, random):
    for module, function in functions_of(project, random):
        if function.name.startswith("__"):
            continue
        for statement in shuffled(random, places(module, function)):
            names = [argument.arg for argument in function.args.args if argument.arg not in ("self", "cls")]
            name = random.choice(names) if names else None
            seen = f", type({name}).__name__" if name else ""
            source = f'print("{function.name} got here"{seen})\n'.encode()
            return insert_before(module, statement, module.indent(statement) + source, "added a print")
    return None


@kind("body-expression", 2)
def body_expression(project, random):
    changes = {
        "sorted": (b", reverse=True)", 1),
        "round": None,
        "len": (b") + 1", None),
        "sum": (b") * 2", None),
        "max": (b") + 1", None),
        "str": (b").upper()", None),
    }
    for module, function in functions_of(project, random):
        for node in shuffled(random, ast.walk(function)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                change = changes.get(node.func.id)
                if change is None or (change[1] == 1 and (node.keywords or len(node.args) != 1)):
                    continue
                end = module.span(node)[1]
                if module.data[end - 1 : end] == b")":
                    what = f"{where(module, node)}: another result of {node.func.id}()"
                    return Edit(what, {module.path: module.replaced((end - 1, end, change[0]))})
            if isinstance(node, ast.Return) and node.value is not None:
                if isinstance(node.value, (ast.BinOp, ast.Name)) and random.random() < 0.3:
                    start, end = module.span(node.value)
                    text = b"(" + module.data[start:end] + b") if 1 else None"
                    what = f"{where(module, node)}: return written as a conditional"
                    return Edit(what, {module.path: module.replaced((start, end, text))})
    return None


@kind("body-return-variable")
def body_return_variable(project, random):
    for module, function in functions_of(project, random):
        returns = [s for s in places(module, function) if isinstance(s, ast.Return) and s.value]
        for statement in shuffled(random, returns):
            indent, value = module.indent(statement), module.text(statement.value)
            start, end = module.span(statement)
            text = b"outcome = (" + value + b")\n" + indent + b"return outcome"
            what = f"{where(module, statement)}: value named before it is returned"
            return Edit(what, {module.path: module.replaced((start, end, text))})
    return None


@kind("body-wrap", 1.5)
def body_wrap(project, random):
    """A statement put under if, try or with: its lines are indented."""
    heads = [
        (b"if True:\n", b""),
        (b"try:\n", b"finally:\n    print('finally')\n"),
        (b"for attempt in range(2):\n", b""),
        (b"try:\n", b"except KeyError as error:\n    print('caught', error)\n"),
    ]
    for module, function in functions_of(project, random):
        for statement in shuffled(random, places(module, function)):
            if not isinstance(statement, SIMPLE) or statement.lineno != statement.end_lineno:
                continue
            start, end = module.lines_of(statement)
            indent = module.indent(statement)
            head, tail = random.choice(heads)
            tail = b"".join(indent + line + b"\n" for line in tail.split(b"\n") if line)
            text = indent + head + b"    " + module.data[start:end] + tail
            what = f"{where(module, statement)}: wrapped in {head.split()[0].decode()}"
            return Edit(what, {module.path: module.replaced((start, end, text))})
    return None


@kind("body-raise", 1.5)
def body_raise(project, random):
    errors = [b'raise ValueError("an edit raised this")', b"[].pop()", b"{}['missing']", b"raise SystemExit(3)"]
    for module, function in functions_of(project, random):
        for statement in shuffled(random, places(module, function)):
            source = module.indent(statement) + random.choice(errors) + b"\n"
            return insert_before(module, statement, source, source.strip().decode())
    return None


@kind("lambda-or-comprehension", 1.5)
def lambda_or_comprehension(project, random):
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    modules = shuffled(random, project.modules())
    for module in modules:
        for node in shuffled(random, ast.walk(module.tree)):
            if isinstance(node, ast.Lambda):
                edit = change_constant(module, node.body, random)
                if edit:
                    return edit
                start, end = module.span(node.body)
                text = b"(" + module.data[start:end] + b") if 1 else None"
                return Edit(f"{where(module, node)}: lambda body", {module.path: module.replaced((start, end, text))})
            if isinstance(node, comprehensions):
                last = node.generators[-1]
                end = module.span(last.ifs[-1] if last.ifs else last.iter)[1]
                names = [n.id for n in ast.walk(node.generators[0].target) if isinstance(n, ast.Name)]
                test = f" if {names[0]} is not None" if names else " if True"
                what = f"{where(module, node)}: comprehension filters"
                return Edit(what, {module.path: module.replaced((end, end, test.encode()))})
    return None


@kind("rename-local")
def rename_local(project, random):
    for module, function in functions_of(project, random):
        stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        shared = {name for n in ast.walk(function) if isinstance(n, (ast.Global, ast.Nonlocal)) for name in n.names}
        nested = [n for n in ast.walk(function) if n is not function and isinstance(n, (ast.FunctionDef, ast.Lambda))]
        names = sorted(stored - shared)
        if not names or nested:
            continue
        name = random.choice(names)
        if any(n.arg == name for n in ast.walk(function) if isinstance(n, ast.arg)):
            continue
        start, end = module.span(function)
        pieces = [(a, b, name.encode() + b"_renamed") for a, b in name_tokens(module, name) if start <= a < end]
        if not pieces:
            continue
        return Edit(f"{where(module, function)}: local {name} renamed", {module.path: module.replaced(*pieces)})
    return None


def name_tokens(module, name):
    """Byte ranges of NAME tokens `name` that are neither attributes nor keyword arguments."""
    found, previous = [], None
    tokens = list(tokenize.tokenize(io.BytesIO(module.data).readline))
    for index, token in enumerate(tokens):
        if token.type == tokenize.NAME and token.string == name and previous != ".":
            column = len(token.line[: token.start[1]].encode())
            start = module.offset(token.start[0], column)
            following = tokens[index + 1].string
            if not (following == "=" and previous in ("(", ",")):
                found.append((start, start + len(name.encode())))
        previous = token.string
    return found


@kind("dormant", 1.5)
def dormant(project, random):
    """A change of code that the program never executes."""
    for module, function in functions_of(project, random, project.dormant):
        choice = random.choice([insert_in, change_constant])
        edit = choice(module, function, random) or insert_in(module, function, random)
        if edit:
            return edit
    return None


@kind("await-added")
def await_added(project, random):
    for module, function in functions_of(project, random):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        for statement in shuffled(random, places(module, function)):
            source = b"import asyncio\n%sawait asyncio.sleep(0)\n" % module.indent(statement)
            return insert_before(module, statement, module.indent(statement) + source, "awaits once more")
    return None
