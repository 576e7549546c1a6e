"""Edited code under frames: at their entry, and in the middle of their work."""
import os
import subprocess
import sys
import unittest

from support import MARK, VERSION, Case, layout

# Objects that say when they go; what a frame holds too long or too short shows in the order.
TOKEN = "import gc, sys\nclass T:\n    def __init__(self, n):\n        self.n = n\n    def __del__(self):\n        print('gone', self.n)\n    def __repr__(self):\n        return 'T' + str(self.n)\n"
MANY = "".join("    v%d = a\n" % i for i in range(120)) + "    print(sum(map(id, (%s))) == 120 * id(a))\n" % ", ".join("v%d" % i for i in range(120))


class AtEntry(Case):
    """A function that had not run when it was edited."""

    def check(self, old, new, calls, before=""):
        body = "def run():\n    mark()\n" + "".join("    %s\n" % call for call in calls.splitlines()) + "run()\n"
        return self.same(MARK + TOKEN + before + old + body, MARK + TOKEN + before + new + body)

    def test_parameters_of_all_kinds(self):
        headers = {
            "def f():": "f()", "def f(a):": "f(T(1))", "def f(a, b=T(2)):": "f(T(1)); f(T(1), T(3))", "def f(a, /, b):": "f(T(1), b=T(2))",
            "def f(*a):": "f(); f(T(1), T(2))", "def f(**a):": "f(); f(x=T(1))", "def f(*, a, b=1):": "f(a=T(1)); f(b=T(2), a=T(3))",
            "def f(a, /, b, *c, d, e=5, **g):": "f(1, 2, d=3); f(T(1), T(2), T(3), T(4), d=T(5), e=T(6), h=T(7))",
            "def f(a: int, b: 'x' = 3) -> None:": "f(1); f(1, b=T(2))",
        }
        bodies = {
            "locals": "x = sorted(map(str, locals().items())); print(x)",
            "more locals": "q, r, s = 1, 2, 3\n    print(sorted(locals()), q + r + s)",
            "a cell of each": "g = lambda: locals()\n    h = lambda: [%s]\n    print(len(g()), [str(x) for x in h() if x is not g])",
            "reassigned": "z = [%s]\n    print(z)\n    del z\n    print('still')",
            "references": "print([sys.getrefcount(x) for x in [%s] if type(x) is T])\n    gc.collect()",
        }
        for header, calls in headers.items():
            # Names of the parameters as Python sees them.
            space = {"T": int}
            exec(header + " pass", space)
            code = space["f"].__code__
            arguments = code.co_varnames[: code.co_nlocals]
            for label, body in bodies.items():
                if "%s" in body:
                    body = body % ", ".join(arguments)
                with self.subTest(header, body=label):
                    self.check(header + "\n    return 1\n", header + "\n    " + body + "\n", calls.replace("; ", "\n") + "\n" + calls.replace("; ", "\n"))

    def test_cells_come_and_go(self):
        plain, cell = "def f(a, b):\n    print(a, b)\n", "def f(a, b):\n    c = 5\n    g = lambda: (a, c)\n    print(g(), b)\n    a = b\n    print(g())\n    return g\n"
        for old, new in ((plain, cell), (cell, plain), (cell, cell.replace("(a, c)", "(b, c)"))):
            self.check(old, new, "x = f(T(1), T(2))\nprint(x)\ndel x\nf(3, T(4))".replace("print(x)", "print(x is None)"))

    def test_closures(self):
        make = "def make(n):\n    m = [n]\n    def up(by=1):\n        nonlocal n\n        %s\n    return up\n"
        old, new = make % "n += by; return n, m", make % "n += by * 2; k = lambda: (m, by); return k(), n, m"
        self.check(old, new, "u = make(1); v = make(T(5)) if 0 else make(7)\nprint(u(), u(2), v(), u())")
        # A closure that was made before the edit, and not called yet.
        program = MARK + TOKEN + "%sdef run():\n    u = make(1)\n    v = make(2)\n    mark()\n    print(u(), v(), u(5))\nrun()\n"
        self.same(program % old, program % new)

    def test_generators_and_coroutines(self):
        run = "def go(c):\n    try:\n        c.send(None)\n    except StopIteration as e:\n        print('returned', e.value)\n"
        cases = {
            ("def f(a):\n    yield a\n", "def f(a):\n    x = [a]\n    g = lambda: (x, a)\n    y = yield g()\n    print('got', y)\n    yield 3\n"): "i = f(T(1)); print(next(i), i.send(7)); i.close()\nprint(list(f(2)), list(f(3)))",
            ("async def f(a):\n    return a\n", "async def f(a):\n    b = T(9)\n    return lambda: (a, b)\n"): "go(f(T(1)))\ngo(f(2))".replace("go(f(", "go(f("),
            ("async def f(a):\n    yield a\n", "async def f(a):\n    yield a\n    b = T(8)\n    yield b\n"): "import asyncio\nasync def d(): return [x async for x in f(T(1))]\nprint(asyncio.run(d()), asyncio.run(d()))",
        }
        for (old, new), calls in cases.items():
            if "lambda: (a, b)" in new:
                new = new.replace("lambda: (a, b)", "(lambda: (a, b))()")
            with self.subTest(new):
                self.check(old, new, calls, run)

    def test_generators_made_before_the_edit(self):
        old = "def g(a):\n    yield a\n"
        program = MARK + TOKEN + "%sdef run():\n    i = g(T(1))\n    mark()\n    print(list(i))\n    print(list(g(2)))\nrun()\n"
        self.same(program % old, program % "def g(a):\n    x = (a, a)\n    yield x\n    yield 2\n")

    def test_generators_made_before_the_edit_keep_to_their_room(self):
        """In a process of its own: what goes wrong here is memory."""
        text = (
            "from test_layout import *\nstage = support.Stage()\n"
            "program = MARK + '%%s\\ndef run():\\n    i = g(1)\\n    mark()\\n    print(drain(i))\\ndef drain(i):\\n    try:\\n        return i.send(None)\\n"
            "    except StopIteration as e:\\n        return e.value\\nrun()\\n'\n"
            "old, new = program %% '%s g(a):\\n    %s a\\n', program %% ('%s g(a):\\n' + MANY + '    %s a\\n')\n"
            "outcome = stage.resumed(old, new)\nassert outcome.refused or outcome.seen() == stage.cold(new).seen()\nstage.close()\n"
        )
        for words in (("def", "yield"), ("async def", "return")):
            script = "import support\n" + text % (words * 2)
            done = subprocess.run([sys.executable, "-X", "dev", "-B", "-c", script], capture_output=True, text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
            with self.subTest(words):
                self.assertEqual(done.returncode, 0, done.stderr[-2000:])

    def test_methods(self):
        klass = (
            "class A:\n    def f(self, x):\n        return ['A', x]\nclass B(A):\n    n = 0\n    def f(self, x):\n        %s\n    @classmethod\n    def c(cls, x):\n        %s\n"
            "    @staticmethod\n    def s(x):\n        %s\n    @property\n    def p(self):\n        %s\n    def __init__(self, *a, **k):\n        %s\n    def __call__(self, x):\n        %s\n"
            "    def __eq__(self, o):\n        %s\n    def __hash__(self):\n        %s\n    def __enter__(self):\n        %s\n    def __exit__(self, *e):\n        %s\n    def __getattr__(self, n):\n        %s\n"
        )
        old = klass % tuple("return super().f(1)" if i == 0 else "pass" if i == 4 else "return 1" for i in range(11))
        new = klass % (
            "y = super().f(x); return (lambda: (y, self.n))()", "z = [cls.__name__, x]; return z", "y = T(x); return [y]", "return [self.a, (lambda: self)() is self]",
            "self.a = (a, k); b = T(a); self.n = 3", "return [x, self]  and x", "q = T('eq'); return True", "h = 5; return h", "m = T('m'); return m",
            "t = e[0]; print('exit', t); return True", "if n[0] == '_': raise AttributeError(n)\n        return 'got ' + n",
        )
        self.check(old, new, "b = B(1, k=2)\nprint(b.f(T(1)), B.c(2), b.s(3), b.p, b(4), b == 1, hash(b), b.zz)\nwith b as m: print(m); 1 / 0\nprint(len({B(1), B(2)}), B(3).f(0), B(4).s(1), B(5)('x'))")

    def test_many_more_locals(self):
        self.check("def f(a):\n    return a\n", "def f(a):\n" + MANY, "f(T(1))\nf(T(2))\nf(3)")

    def test_the_first_call_comes_from_c(self):
        old, new = "def f(a, b=0):\n    return a\n", "def f(a, b=0):\n    x = T(a)\n    g = lambda: (a, b)\n    return -g()[0]\n"
        self.check(old, new, "print(sorted([3, 1, 2], key=f), list(map(f, range(3))), max([1, 2], key=f))")

    def test_second_code_objects_of_one_function(self):
        """Closures made by several calls share a code object that was edited before any call."""
        old = "def make(n):\n    def up():\n        return n\n    return up\n"
        program = MARK + "%sdef run():\n    us = [make(i) for i in range(5)]\n    mark()\n    print([u() for u in us], [u() for u in us], make(9)())\nrun()\n"
        self.same(program % old, program % old.replace("return n", "k = n; return k * 10"))

    def test_function_objects_show_the_edited_code_once_called(self):
        self.check("def f(a):\n    return a\n", "def f(a):\n    b = 1\n    return a\n", "f(1)\nprint(f.__code__.co_varnames, f.__code__.co_name)")

    def test_exceptions_in_edited_code(self):
        self.check("def f(a):\n    return a\n", "\n\ndef f(a):\n    b = [a]\n    raise KeyError(b)\n", "f(T(1))")
        self.check("def f(a):\n    return a\n", "def f(a):\n    try:\n        a / 0\n    except ZeroDivisionError as e:\n        raise KeyError(a) from e\n", "try: f(1)\nexcept KeyError as e: print(repr(e.__cause__))\nf(2)")


# How a function comes to be called: (definitions, the statement that calls it). The first are inlined by the interpreter.
INLINE = {
    "call": ("", "r = step(1)"),
    "method": ("class K:\n    def m(self, x):\n        return step(x)\n", "r = K().m(1)"),
    "comprehension": ("", "r = [step(i) for i in (1,)]"),
    "in an expression": ("", "r = [T(1), *[T(2)], step(3), {'k': T(4)}]"),
    "in a call": ("", "r = str((T(1), step(2), T(3)))"),
    "in a loop": ("", "for i in [1, 2]: r = step(i)"),
    "in a with": ("import contextlib\n", "with contextlib.nullcontext(T(1)) as c: r = step(c)"),
    "in a try": ("", "try: r = step(1)\n    finally: print('finally')"),
    "in an if": ("", "if step(1) == 0: r = 1\n    else: r = 2"),
    "in a while": ("", "n = 2\n    while n: n -= 1; r = step(n)"),
}
FROM_C = {
    "sorted": ("", "r = sorted([2, 1], key=step)"),
    "map": ("", "r = list(map(step, [T(1), 2]))"),
    "init": ("class K:\n    def __init__(self):\n        self.v = step(1)\n", "r = K().v"),
    "property": ("class K:\n    @property\n    def p(self):\n        return step(1)\n", "r = K().p"),
    "enter": ("class K:\n    def __enter__(self):\n        return step(1)\n    def __exit__(self, *e):\n        print('exit')\n", "with K() as r: print('in')"),
    "exit": ("class K:\n    def __enter__(self):\n        return 1\n    def __exit__(self, *e):\n        step(1)\n", "with K() as r: print('in')"),
    "exit with error": ("class K:\n    def __enter__(self):\n        return 1\n    def __exit__(self, *e):\n        step(1)\n        return True\n", "r = 0\n    with K(): 1 / 0"),
    "operator": ("class K:\n    def __add__(self, o):\n        return step(o)\n", "r = T(1) and K() + T(2)"),
    "iterator": ("class K:\n    n = 0\n    def __iter__(self):\n        return self\n    def __next__(self):\n        self.n += 1\n        step(1)\n        if self.n > 2: raise StopIteration\n        return self.n\n", "r = []\n    for i in K(): r.append(i)"),
    "generator": ("def gen():\n    yield step(1)\n    yield 2\n", "r = list(gen())"),
    "inner loop of a generator": ("def gen():\n    yield step(1)\n    yield 2\n", "r = []\n    for i in gen(): r.append(i)"),
    "str": ("class K:\n    def __str__(self):\n        return 'k%s' % step(1)\n", "r = '%s' % K()"),
    "comparison": ("class K:\n    def __lt__(self, o):\n        return step(1)\n", "r = K() < 1 or T(5)"),
    "attribute": ("class K:\n    def __setattr__(self, n, v):\n        step(1)\n", "K().x = T(1); r = 1"),
    "class body hook": ("class K:\n    def __init_subclass__(cls):\n        step(1)\n", "class L(K): pass\n    r = L.__name__"),
    "decorator": ("", "r = 5\n    @step\n    def inner(): pass"),
    "exec": ("", "r = eval('step(1)', globals())"),
    "str.join": ("", "r = ''.join(str(step(i)) for i in (1, 2))"),
}
STEP = "def step(x):\n    mark()\n    return 0\n"


class InTheMiddle(Case):
    """Functions on the stack when they are edited behind the statement that runs."""

    TAILS = {
        "print": "print('new', r)",
        "more locals": "p, q, s = r, T(7), [r]\n    print(p, s)",
        "a cell": "g = lambda: (r, a, o)\n    r = 5\n    print(g())\n    return g()",
        "raise": "raise KeyError(r)",
        "delete": "del o\n    print('deleted')\n    del r, a\n    gc.collect()",
        "references": "print(sys.getrefcount(o), sys.getrefcount(a))",
        "loop": "for i in range(20): a = [a, i]\n    print(len(str(a)))",
        "nothing": "return",
    }

    def program(self, before, statement, tail):
        return MARK + TOKEN + STEP + before + "def f(a):\n    o = T('o')\n    %s\n    %s\nprint(f(T('a')))\ngc.collect()\nprint('end')\n" % (statement, tail)

    def check(self, ways):
        for name, (before, statement) in ways.items():
            for label, tail in self.TAILS.items():
                with self.subTest(name, tail=label):
                    self.edited(name, self.program(before, statement, "print('old', r)"), self.program(before, statement, tail), label == "a cell")

    def edited(self, name, old, new, cells):
        # From 3.12 on comprehensions are part of the function, and end otherwise where their result goes to a cell.
        if name == "comprehension" and cells and VERSION >= (3, 12):
            self.never_wrong(old, new)
        else:
            self.same(old, new)

    def test_inlined_calls(self):
        self.check(INLINE)

    def test_calls_through_c(self):
        self.check(FROM_C)

    def test_cells_that_come_and_go(self):
        closed = "g = lambda: (r, a, o)\n    print(g())\n    o = a = 1\n    print(g())"
        for name, (before, statement) in (*INLINE.items(), *FROM_C.items()):
            for old, new in (("print(r, a)", closed), (closed, "print(a, o)"), (closed, closed.replace("(r, a, o)", "(o, 1)"))):
                with self.subTest(name, new=new):
                    self.edited(name, self.program(before, statement, old), self.program(before, statement, new), True)

    def test_methods_with_super(self):
        program = MARK + TOKEN + STEP + "class A:\n    def f(self, x):\n        return ['A', x]\nclass B(A):\n    def f(self, x):\n        y = super().f(%s)\n        %s\nprint(B().f(T(1)))\n"
        for call in ("step(x)", "list(map(step, [x]))"):
            self.same(program % (call, "return y"), program % (call, "z = T(2); g = lambda: (self.__class__, y, z); return g()[1:], super().f(5), __class__.__name__"))
        plain = MARK + STEP + "class B:\n    def f(self, x):\n        y = step(x)\n        %s\nprint(B().f(1))\n"
        outcome = self.never_wrong(plain % "return y", plain % "return __class__.__name__")
        self.assertIn("free variables", outcome.refused or "")

    def test_all_parameters_survive(self):
        program = MARK + TOKEN + STEP + "def f(a, /, b, *c, d, e=T(5), **g):\n    x = %s\n    %s\nf(T(1), T(2), T(3), d=T(4), h=T(6))\n"
        for call in ("step(1)", "list(map(step, [1]))"):
            self.same(program % (call, "return 1"), program % (call, "q = lambda: (a, b, c, d, e, g, x); print(q(), sorted(locals()))"))

    def test_several_frames_at_once(self):
        program = MARK + TOKEN + STEP + "def h(a):\n    v = step(a)\n    %s\ndef g(a):\n    w = list(map(h, [a]))\n    %s\ndef f(a):\n    u = g(a)\n    %s\nf(T(1))\nprint(%s)\n"
        self.same(program % ("return v", "return w", "return u", 1), program % ("p = T(7); k = lambda: (p, v); return k()", "q = T(8); return q, w", "print(u); return 1", "2, [i for i in range(3)]"))

    def test_module_code(self):
        program = MARK + TOKEN + STEP + "a = T(1)\n%s\n%s\n"
        for call in ("r = step(1)", "r = list(map(step, [1]))", "r = [step(i) for i in (1,)]"):
            self.same(program % (call, "print('old')"), program % (call, "b = 5\nprint('new', a, r, b)\nclass K:\n    v = a\nprint(K.v)\ndef new():\n    return a\nprint(new())\ndel a\n1 / 0"))

    def test_long_bodies(self):
        # Jumps of one, two and three code units.
        for size, calls in ((5, ("r = step(1)", "r = list(map(step, [1]))")), (60, ("r = step(1)", "r = list(map(step, [1]))")), (7000, ("r = list(map(step, [1]))",))):
            filler = "    x = x + 1\n" * size
            program = MARK + STEP + "def f(x):\n" + filler + "    %s\n    %s\n" + filler + "    return x\nprint(f(1))\n"
            for call in calls:
                with self.subTest(call, size=size):
                    self.same(program % (call, "print(r)"), program % (call, "y = [r]\n    x = -5\n    print(y)"))

    def test_frames_that_were_warm(self):
        program = MARK + STEP + "def f(x):\n    t = 0\n    for i in range(100):\n        t += i * x\n    r = %s\n    for i in range(100):\n        %s\n    return t\nprint(f(2))\n"
        for call in ("step(1)", "list(map(step, [1]))"):
            self.same(program % (call, "t += i"), program % (call, "t -= x * i; t = t % 1001"))

    def test_the_next_statement_is_the_first_of_a_block(self):
        for call in ("r = step(1)", "r = list(map(step, [1]))"):
            for block in ("while r != 3: r = 3", "for i in r if r else (): pass", "try: 1 / 0\n    except ZeroDivisionError as e: print(e, e.__traceback__.tb_lineno)", "with T2(): print('w')", "if r: pass", "def g(): return r\n    print(g())"):
                program = MARK + STEP + "class T2:\n    def __enter__(self): print('enter')\n    def __exit__(self, *e): print('exit')\ndef f(x):\n    %s\n    %s\n    return r\nprint(f(1))\n"
                with self.subTest(call, block=block):
                    self.same(program % (call, "print(1)"), program % (call, block))

    def test_edited_twice(self):
        """A run that goes on under an edit is edited again."""
        frame = "def f(x):\n    %s\n    y = 1\n    %s\n    %s\ndef late(v):\n    %s\nprint(f(3))\n"
        both = "max(map(lambda _: (mark(), mark2())[0], [1]))"
        tails = ("return y", "return [y]", "return [y, x, (lambda: y)()]")
        cases = []
        for first, second in (("mark()", "mark2()"), ("max(map(mark, [1]))", "max(map(mark2, [1]))"), (both, "0"), ("(mark(), mark2())", "0"), ("mark()", "max(map(mark2, [1]))")):
            cases.append([frame % (first, second, tail, "pass") for tail in tails])
            cases.append([frame % (first, second, tail, "pass") for tail in (tails[0], tails[1], tails[0])])

        def uncalled(*bodies):
            return [frame % ("mark()", "mark2()", "return late(y)", body) for body in bodies]

        cases += [uncalled("return 1", "return [v]", "q = lambda: v; return q()"), uncalled("return 1", "return [v]", "return 1")]
        moved = uncalled("return 1", "return v / 0")
        cases += [[*moved, "\n\n" + moved[1]], [moved[0], moved[1].replace("return late(y)", "return [late(y)]"), "\n\n" + moved[1].replace("return late(y)", "return [late(y)]")]]
        module = "mark()\nx = %s\nmark2()\nprint(%s)\n"
        cases += [
            [module % (1, "x"), module % (2, "x"), module % (2, "[x]") + "1 / 0\n"], [module % (1, "x"), "def z(): return 5\n" + module % (1, "x"), "def z(a=1): return [a]\n" + module % (1, "z()")],
            [module % (1, "x"), "def z(): return 5\n" + module % (1, "x"), module % (1, "x")], [module % (1, "x"), "def z(): return 5\n" + module % (1, "x"), "# c\ndef z(): return 6 / 0\n" + module % (1, "z()")],
        ]
        for first, second, third in ([MARK + MARK.replace("mark", "mark2") + text for text in case] for case in cases):
            with self.subTest(third, before=second):
                outcome = self.never_wrong(first, second, then=[("mark2#0", third)])
                self.assertTrue(outcome.applied, outcome.refused)


class References(unittest.TestCase):
    def test_moving_locals_takes_and_leaves_no_reference(self):
        old = compile("def f(a, b):\n    c = a\n    return c\n", "x", "exec").co_consts[0]
        new = compile("def f(a, b):\n    c = a\n    g = lambda: (a, c)\n    return g()\n", "x", "exec").co_consts[0]
        self.assertEqual(layout.slots_of(old), ["a", "b", "c"])
        self.assertEqual(sorted(layout.slots_of(new)), ["a", "b", "c", "g"])
        layout.verify()

    def test_self_test(self):
        script = "import sys; sys.path.insert(0, '..'); from thaw_agent import selftest; selftest.run()"
        done = subprocess.run([sys.executable, "-X", "dev", "-B", "-c", script], capture_output=True, text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
