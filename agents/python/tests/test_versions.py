"""What only later versions of CPython have: inlined comprehensions, type parameters, classes that know their place, annotations
that are computed when somebody asks."""
import sys
import unittest

from support import MARK, VERSION, Case, layout
from thaw_agent import classes

FROM_312 = unittest.skipIf(VERSION < (3, 12), "begins with 3.12")
FROM_314 = unittest.skipIf(VERSION < (3, 14), "begins with 3.14")
FROM_313 = unittest.skipIf(VERSION < (3, 13), "begins with 3.13")

# How a function comes to be called by code that has been specialised: from 3.12 on most of these are inlined.
WARM = {
    "call": ("", "r = step(n)"),
    "init": ("class K:\n    def __init__(self, n):\n        self.v = step(n)\n", "r = K(n).v"),
    "property": ("class K:\n    @property\n    def p(self):\n        return step(1)\nk = K()\n", "r = k.p"),
    "getattr": ("class K:\n    def __getattribute__(self, name):\n        return step(name)\nk = K()\n", "r = k.p"),
    "getitem": ("class K:\n    def __getitem__(self, i):\n        return step(i)\nk = K()\n", "r = k[n]"),
    "method": ("class K:\n    def m(self, i=1):\n        return step(i)\nk = K()\n", "r = k.m()"),
    "super": ("class J:\n    def m(self):\n        return step(1)\nclass K(J):\n    def m(self):\n        return super().m()\nk = K()\n", "r = k.m()"),
    "comprehension": ("", "r = [step(i) for i in (1, 2)]"),
    "generator": ("def gen():\n    for i in (1, 2):\n        yield step(i)\n", "for r in gen(): pass"),
    "yield from": ("def one():\n    yield step(1)\n    return 5\ndef gen():\n    r = yield from one()\n    yield r\n", "r = list(gen())"),
    "keywords": ("", "r = step(x=n)"),
    "from c": ("", "r = sum(map(step, (n, n)))"),
}
LATE = "count = 0\ndef step(x):\n    global count\n    count += 1\n    if count == 40: mark()\n    return count\n"


class Warm(Case):
    """A frame is edited after its code has run many times in the same activation."""

    def program(self, before, statement, tail):
        loop = "for n in range(50): " + statement if not statement.startswith("for") else "n = 0\n    while n < 50:\n        n += 1\n        " + statement
        return MARK + LATE + before + "def f(a):\n    %s\n    %s\nprint(f('a'))\n" % (loop, tail)

    def test_specialised_calls(self):
        for name, (before, statement) in WARM.items():
            for tail in ("print('new', r, a)", "p, q = r, [a]\n    return p, q", "def later(): return r, a\n    return later()", "raise KeyError(r)"):
                with self.subTest(name, tail=tail):
                    old, new = self.program(before, statement, "print('old', r)"), self.program(before, statement, tail)
                    if "def later" in tail and VERSION >= (3, 12) and name == "comprehension":
                        self.never_wrong(old, new)
                    else:
                        self.same(old, new)


class Comprehensions(Case):
    """From 3.12 on they run in the frame of what encloses them, and borrow its slots."""

    def test_variables_of_the_same_name(self):
        bodies = [
            "i = 7\n    r = [mark(i) or i for i in (1, 2)]\n    %s", "r = {i: mark() for i in (1, 2)}\n    i = 3\n    %s", "i = 7\n    r = [[mark() or (i, j) for j in (i, 2)] for i in (1, 2)]\n    %s",
            "i = 7\n    r = [(lambda: i)() for i in (1, 2) if not mark()]\n    %s", "i = 7\n    r = max(map(mark, [i for i in (1, 2)]))\n    %s", "i = 7\n    r = [max(map(mark, (i,))) for i in (1, 2)]\n    %s",
        ]
        tails = ["print(i, r)", "g = lambda: (i, r)\n    print(g())", "r = [lambda: i for i in (5, 6)]\n    print([x() for x in r])", "print(sorted(locals()))", "print([i for i in r], i)", "del i\n    print(i)"]
        for body in bodies:
            for old in tails[:3]:
                for new in tails:
                    with self.subTest(body, old=old, new=new):
                        program = MARK + "def f():\n    " + body + "\ntry: f()\nexcept Exception as e: print(repr(e))\n"
                        self.never_wrong(program % old, program % new)

    def test_module_code(self):
        for tail in ("print(i, r)", "r = [lambda: i for i in (5, 6)]\nprint([x() for x in r], i)", "def g(): return i\nprint(g())", "print([j for j in r])"):
            for call in ("mark()", "max(map(mark, (1,)))"):
                program = MARK + "i = 7\nr = [%s or i for i in (1, 2)]\n%%s\n" % call
                with self.subTest(tail, call=call):
                    check = self.never_wrong if VERSION >= (3, 12) and "lambda: i" in tail else self.same
                    check(program % "print(r)", program % tail)


@FROM_312
class TypeParameters(Case):
    def test_generic_functions(self):
        program = MARK + "def g[T: int](x: T, y=1) -> T:\n    z = mark()\n    %s\ndef late[*A, **P](*a: *A):\n    %s\nprint(g(3), g.__type_params__, late(1))\n"
        for bodies in (("return x", "return [a]"), ("return [x, z, (lambda: x)()]", "return a"), ("return [x, T]", "return P")):
            self.same(program % ("return x", "return a"), program % bodies) if "T]" not in bodies[0] else self.never_wrong(program % ("return x", "return a"), program % bodies)

    def test_what_has_run_was_edited(self):
        for old, new in (
            ("def g[T](x): return x\n", "def g[T, U](x): return x\n"), ("def g[T: int](x): return x\ng.__type_params__[0].__bound__\n", "def g[T: str](x): return x\ng.__type_params__[0].__bound__\n"),
            ("type X = int\nX.__value__\n", "type X = str\nX.__value__\n"), ("class K[T]: pass\n", "class K[T, U]: pass\n"), ("def g(x): return x\n", "def g[T](x): return x\n"),
        ):
            tail = "mark()\nprint(globals().get('X') and X.__value__, globals().get('g') and (g.__type_params__, [getattr(t, '__bound__', 0) for t in g.__type_params__]), globals().get('K') and K.__type_params__)\n"
            with self.subTest(new):
                self.never_wrong(MARK + old + tail, MARK + new + tail)

    def test_what_has_not_been_evaluated_is_used_as_edited(self):
        tail = "mark()\nprint(X.__value__, g.__type_params__[0].__bound__)\n"
        program = MARK + "type X = %s\ndef g[T: %s](x): return x\n" + tail
        # From 3.14 on it counts with the statement, since it may run where no trap finds the agent.
        check = self.same if VERSION < (3, 14) else self.never_wrong
        check(program % ("int", "int"), program % ("list[X]", "(lambda: str)()"))

    def test_generic_classes(self):
        program = MARK + "class K[T]:\n    x: T\n    def m(self, y: T):\n        z = mark()\n        %s\n    def late(self):\n        %s\nprint(K().m(1), K[int]().late(), K.__type_params__)\n"
        self.same(program % ("return y", "return 1"), program % ("return y, z", "return __class__.__name__" if False else "return [2]"))


# Every way to ask for annotations; texts of objects without their addresses.
ASK = """import annotationlib, inspect, re, types, typing
def show(*them): print(*[re.sub("0x[0-9a-f]+", "0x", str(one)) for one in them])
def ask(*them):
    for one in them:
        for form in annotationlib.Format:
            try: show(form.name, annotationlib.get_annotations(one, format=form))
            except Exception as e: show(form.name, repr(e))
        try: show(one.__annotations__, one.__annotate__ and one.__annotate__(1), typing.get_type_hints(one))
        except Exception as e: show(repr(e))
        show(inspect.signature(one) if callable(one) else "")
def module(annotate):
    made = types.ModuleType("made")
    made.__annotate__ = annotate
    return made
"""


@FROM_314
class Annotations(Case):
    def program(self, body, asked, tail="print(1)", before=""):
        return ASK + MARK + before + body + "mark()\n" + tail + "\nask(%s)\n" % asked

    BODIES = (
        ("def f(a: int, *b: Later, c: 'text' = 2) -> list[int]: return a\n", "f"),
        ("class K:\n    x: int = 1\n    y: Later\n    def m(self, z: K) -> Later: self.q = 1\n", "K, K.m"),
        ("def outer(n):\n    def inner(a: n, b: Later) -> (lambda: [n])(): return a\n    return inner\n", "outer(1), outer(2)"),
        ("x: int = 3\nif x: y: Later\nelse: z: str\n", "module(__annotate__)"),
        ("class K[T: Later]:\n    x: T\n    def m[S](self, y: S) -> T: return y\n", "K, K.m"),
        ("import dataclasses\n@dataclasses.dataclass\nclass D:\n    x: int\n    y: list['D'] = dataclasses.field(default_factory=list)\n", "D, D.__init__"),
    )

    def test_what_moved_or_was_not_touched_resumes(self):
        for body, asked in self.BODIES:
            for before in ("", "# moved\n\n"):
                for late in ("", "class Later: pass\n"):
                    with self.subTest(body, before=before, late=late):
                        old, new = self.program(body, asked, late + "print(1)"), self.program(body, asked, late + "print(2)", before)
                        self.same(old, new)

    def test_annotations_that_were_edited(self):
        for body, asked in self.BODIES:
            for old, new in (("int", "str"), ("Later", "int"), ("Later", "[i for i in (1, 2)]"), (": int", ""), ("Later", "1 / 0")):
                with self.subTest(body, old=old, new=new):
                    self.never_wrong(self.program(body, asked), self.program(body.replace(old, new), asked))
                    self.never_wrong(self.program(body, asked, "ask(%s)\nmark()" % asked), self.program(body.replace(old, new), asked, "ask(%s)\nmark()" % asked))

    def test_functions_that_come_and_go(self):
        for old, new in (("", "def f(a: int, b: str = 'x') -> None: return a\n"), ("def f(a: int): return a\n", "def f(a: int): return -a\n"), ("def f(a: int): return a\n", "def f(a: float, c=1): return a\n"), ("def f(a): return a\n", "def f(a: int): return a\n")):
            late = "def late():\n    %s\nlate()\n"
            with self.subTest(new):
                self.same(MARK + ASK + old + "mark()\n" + late % "print(0)", MARK + ASK + new + "mark()\n" + late % "print(f(1)); ask(f)")

    def test_lines_of_what_fails_when_it_is_asked(self):
        body = "def f(\n    a: int,\n    b: 1 / 0,\n): return a\nclass K:\n    x: int\n    y: nothing.at.all\n"
        for what in ("f.__annotations__", "K.__annotations__", "K.__annotate__(1)"):
            with self.subTest(what):
                self.same(MARK + body + "mark()\n" + what + "\n", MARK + "# moved\n" + body + "mark()\nprint(2)\n" + what + "\n")

    def test_a_function_of_the_name(self):
        program = MARK + "class K:\n    def __annotate__(format, /):\n        return {'x': %s}\n    __annotate_func__ = __annotate__\nmark()\nprint(%s, K.__annotations__)\ndef __annotate__(format, /): return {'y': %s}\n"
        for new in (("int", 2, "int"), ("str", 1, "int"), ("int", 1, "str")):
            self.never_wrong(program % ("int", 1, "int"), program % new)


@FROM_314
class References(Case):
    """Frames hold borrowed references, small numbers stand in the instructions."""

    def test_borrowed_from_a_variable_that_is_another_in_the_edit(self):
        statements = ("r = (x, mark(), x)", "r = [x, *map(mark, (x,)), x]", "r = {str(x): mark(x), 'y': x}", "x.append(mark(x) or x[:1])\n    r = x", "r = x + [mark()] + x")
        tails = ("return r", "del x\n    return r", "x = None\n    return r", "g = lambda: (x, r)\n    return g()", "x, r = r, x\n    return [lambda: x][0]()", "y = z = w = x\n    return y, r")
        for statement in statements:
            for old in tails:
                for new in tails:
                    with self.subTest(statement, old=old, new=new):
                        program = MARK + "def f(x):\n    %s\n    %s\nfor n in range(3): print(f([object, n]))\n"
                        self.same(program % (statement, old), program % (statement, new)) if old != new else None

    def test_objects_go_when_they_would(self):
        program = MARK + "class D:\n    def __init__(self, n): self.n = n\n    def __del__(self): print('gone', self.n)\ndef take(*a): return len(a)\ndef f(x):\n    y = D(2)\n    r = take(x, y, mark(), D(3))\n    del x\n    print('after')\n    %s\nf(D(1))\nprint('end')\n"
        self.same(program % "return r", program % "z = y\n    return r, z")
        self.same(program % "return r", program % "g = lambda: y\n    del y\n    print('then')\n    return r")

    def test_generators_that_wait(self):
        program = MARK + "def g(n):\n    x = [n]\n    for i in range(3):\n        yield x, mark(), i\n    %s\nprint(list(g(1)))\nasync def h():\n    async for i in a(): mark()\n    %s\nasync def a():\n    for i in range(2): yield i\nimport asyncio\nasyncio.run(h())\n"
        self.never_wrong(program % ("yield 7", "print(1)"), program % ("yield from x", "print(2, [i async for i in a()])"))

    def test_lines_around_the_greatest_small_number(self):
        for lines in (240, 247, 248, 249, 250, 251, 252, 253, 254, 255):
            program = "\n" * lines + MARK + "%sclass K:\n    x = 255\n    y = 256\n    z = 257\n    def m(self): self.a = 1\nmark()\nprint(%s)\n" + SHOW % "K,"
            for before in ("# 1\n", "\n\n\n", "\n" * 9):
                with self.subTest(lines, before=before):
                    self.same(program % ("", 1), program % (before, 2))
                    self.same(program % (before, 1), program % ("", 2))

    def test_functions_that_begin_with_a_loop(self):
        bodies = ("while x:\n        x -= 1\n        mark()\n    %s", "while True:\n        x -= 1\n        if not x: break\n        max(map(mark, (1,)))\n    %s", "while (x := x - 1): mark()\n    %s", "while True:\n        try:\n            1 / (x := x - 1)\n            mark()\n        except ZeroDivisionError: break\n    %s")
        for body in bodies:
            for new in ("return x", "print(3)", "y = [x]\n    return lambda: x"):
                with self.subTest(body, new=new):
                    program = MARK + "def f(x):\n    " + body + "\nprint(type(f(4)), type(f(3)))\n"
                    self.never_wrong(program % "return [x]", program % new)

    def test_templates(self):
        program = MARK + "def f(x):\n    t = t'a{x}b{mark(x)!r:>{x}}'\n    %s\nprint(f(3))\n"
        self.same(program % "return t.strings", program % "return t.strings, [(i.value, i.expression, i.format_spec) for i in t.interpolations], t'{x + 1}'.values")


SHOW = "print([(c.__name__, c.__firstlineno__, sorted(c.__static_attributes__)) for c in (%s)])\n"


@FROM_313
class Places(Case):
    """Lines and attributes that classes know."""

    def moved(self, program, names, edits=(("# 1\n", ""), ("", "# 1\n# 2\n"))):
        for before, after in edits:
            text = MARK + "%s" + program + "mark()\n" + "print(1)\n" + SHOW % names
            with self.subTest(program, before=before):
                self.same(text % before, (text % after).replace("print(1)", "print(2)"))

    def test_classes_that_moved(self):
        self.moved("class K:\n    def m(self): self.a = 1\n", "K,")
        self.moved("class K:\n    x = 3\n    y = 4\n    z = (5, 6, 7)\n    class L:\n        w = 5\n        def m(self): self.b = 2\n", "K, K.L")
        self.moved("import functools\n@functools.total_ordering\nclass K:\n    def __lt__(self, o): return True\n    def __eq__(self, o): return True\n", "K,")
        self.moved("class K: pass\nclass J(K): pass\nA = K\nclass K: pass\n", "K, J, A")
        self.moved("class K[T]:\n    def m(self): self.a = 1\nclass M(type): pass\nclass N(metaclass=M): x = [i for i in (1, 2)]\n", "K, M, N")
        self.moved("import dataclasses, enum, typing\n@dataclasses.dataclass(slots=True)\nclass K:\n    x: int = 0\nclass E(enum.Enum):\n    A = 1\n", "K, E")
        self.moved("def make(n):\n    class K:\n        x = n\n        def m(self): self.q = 1\n    return K\nA, B = make(1), make(2)\n", "A, B, make(3)")
        self.moved("class A: pass\n" * 30 + "class K:\n    x = [1, 2]\nL = [K]\n", "A, *L")

    def test_attributes_that_methods_set(self):
        program = MARK + "class K:\n    def a(self): self.x = 1\n    def b(self):\n        self.y = 1\n        %s\n        return 5\ndef late():\n    " + SHOW % "K," + "    print(K().b())\nmark()\nlate()\n"
        self.same(program % "self.y = 2", program % "self.z = self.w = 3")
        self.same(program % "self.z = self.w = 3", program % "pass")

    def test_classes_made_later(self):
        program = MARK + "%s\nmark()\nprint(1)\nclass K:\n    x = 8\n    def m(self): self.a = 1\ndef make():\n    class L: pass\n    return L\n" + SHOW % "K, make(), make()"
        self.same(program % "", program % "\n\n")
        self.same(program % "", (program % "\n").replace("print(1)", "print(2)"))

    def test_constants_shared_with_the_line(self):
        # The line of the class is one of its other constants, in one version.
        program = MARK + "%s\nclass K:\n    x = 5\n    y = 7\n    def m(self): return 1\nmark()\n" + SHOW % "K," + "print(K.x, K.y, K().m())\n"
        for lines in range(6):
            for other in range(6):
                self.never_wrong(program % ("\n" * lines), program % ("\n" * other))

    def test_a_class_that_is_being_made_does_not_move(self):
        for body in ("    x = mark()\n", "    def __init_subclass__(cls): mark()\nclass J(K): pass\n", "    x = type('D', (), {'__set_name__': lambda *a: mark() and None})()\n"):
            program = MARK + "%sclass K:\n" + body + "print(1)\n" + SHOW % "K,"
            with self.subTest(body):
                outcome = self.never_wrong(program % "", program % "# moved\n")
                self.assertIn("being made", outcome.refused or "")
                self.same(program % "", (program % "").replace("print(1)", "print(2)"))

    def test_edited_twice(self):
        text = MARK + MARK.replace("mark", "mark2") + "%sclass K:\n    def m(self): self.a = %s\nclass J: pass\nmark()\nx = 1\nmark2()\n" + SHOW % "K, J"
        outcome = self.never_wrong(text % ("", 1), text % ("# 1\n", 1), then=[("mark2#0", text % ("# 1\n# 2\n# 3\n", "self.b = 1"))])
        self.assertTrue(outcome.applied, outcome.refused)

    def test_who_looks_is_on_record(self):
        looking = ("print(K.__firstlineno__)", "print(len(vars(K)))", "print(K.__dict__.keys())", "print(dir(K))", "getattr(K, '__static_attributes__')", "class L:\n    x = locals()", "class M(type):\n    def __new__(m, n, b, d): return super().__new__(m, n, b, d)\nclass L(metaclass=M): pass")
        for text in looking:
            with self.subTest(text):
                events = self.stage.under("class K: pass\ndef f():\n    %s\nf()\n" % text.replace("\n", "\n    ")).events
                self.assertIn(("line", classes.CLASSES), events)
        events = self.stage.under("class K:\n    def __init__(self, a, b, c): self.a = a\n    def m(self): return self.a\nprint(K(1, 2, 3).m())\n").events
        self.assertNotIn(("line", classes.CLASSES), events)


class Hidden(Case):
    @FROM_312
    def test_tracing_does_not_stop_in_hidden_code(self):
        """In a process of its own: a mistake is an endless loop."""
        import subprocess

        script = (
            "import sys; sys.path.insert(0, '..')\nfrom thaw_agent import layout\n"
            "def agent(n):\n    for i in range(n): pass\n    return sum(x for x in range(n))\n"
            "layout.hide(agent.__code__)\nprint(agent(3))\nseen = []\n"
            "def program(): return agent(4)\n"
            "sys.setprofile(lambda f, e, a: seen.append((f.f_code.co_name, e)) if e in ('call', 'return') else None)\nprint(program())\nsys.setprofile(None)\n"
            "print([x for x in seen if x[0] in ('agent', '<genexpr>')])\n"
        )
        import os

        done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, timeout=20, cwd=os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual((done.stdout, done.stderr), ("3\n6\n[]\n", ""))

    def test_frames_have_room_as_their_code_says(self):
        old = compile("def f(a):\n    return a\n", "x", "exec").co_consts[0]
        before = layout.room_of(old)
        layout.ensure_room(old, before + 40)
        self.assertEqual(layout.room_of(old), before + 40)
        space = {}
        exec(compile("def f(a):\n    return a\n", "x", "exec"), space)
        layout.ensure_room(space["f"].__code__, 4000)
        self.assertEqual([space["f"](i) for i in range(50)], list(range(50)))


if __name__ == "__main__":
    unittest.main()
