"""What instrumenting leaves as it was, and when traps fire."""
import glob
import os
import types
import unittest

from support import FILE, Case, layout, traps
from thaw_agent import hook

LIBRARY = os.path.dirname(os.__file__)


def library_files(count):
    """The same files each time: every third module of the standard library."""
    found = sorted(glob.glob(LIBRARY + "/*.py") + glob.glob(LIBRARY + "/*/*.py"))
    left_out = ("/test", "/site-packages/", "/lib2to3/", "/idlelib/", "/encodings/")
    return [path for path in found if not any(part in path for part in left_out)][::2][:count]


def everything_in(code):
    yield code
    for const in traps.nested(code):
        yield from everything_in(const)


def traps_in(code):
    return [c for c in code.co_consts if type(c) is tuple and len(c) == 8 and c[0] == traps.MARK]


def original_bytes(code):
    """The bytecode with every trap taken out."""
    out = bytearray(code.co_code)
    for trap in reversed(traps_in(code)):
        out[trap[traps.OFFSET] : trap[traps.OFFSET] + len(trap[traps.ORIGINAL])] = trap[traps.ORIGINAL]
    return bytes(out)


class StandardLibrary(unittest.TestCase):
    """150 modules of the standard library, instrumented."""

    @classmethod
    def setUpClass(cls):
        cls.modules = []
        for path in library_files(150):
            with open(path, "rb") as file:
                source = file.read()
            plain = compile(source, path, "exec", dont_inherit=True)
            cls.modules.append((path, plain, traps.instrument(plain, path, source)))

    @classmethod
    def tearDownClass(cls):
        del cls.modules

    def pairs(self):
        for path, plain, made in self.modules:
            for a, b in zip(everything_in(plain), everything_in(made), strict=True):
                yield "%s: %s" % (path, a.co_qualname), a, b

    def test_there_are_enough(self):
        self.assertEqual(len(self.modules), 150)

    def test_the_original_is_only_overwritten_where_traps_say(self):
        for name, plain, made in self.pairs():
            self.assertEqual(original_bytes(made)[: len(plain.co_code)], plain.co_code, name)

    def test_positions_stay(self):
        for name, plain, made in self.pairs():
            expected = list(plain.co_positions())
            self.assertEqual(list(made.co_positions())[: len(expected)], expected, name)

    def test_lines_stay(self):
        for name, plain, made in self.pairs():
            end = len(plain.co_code)
            # Where the trailer begins with the line on which the original ends, one entry covers both.
            lines = [(first, min(last, end), line) for first, last, line in made.co_lines() if first < end]
            self.assertEqual(lines, list(plain.co_lines()), name)

    def test_exception_tables_stay(self):
        for name, plain, made in self.pairs():
            expected = traps.handlers(plain.co_exceptiontable)
            self.assertEqual(traps.handlers(made.co_exceptiontable)[: len(expected)], expected, name)
            self.assertTrue(made.co_exceptiontable.startswith(plain.co_exceptiontable), name)

    def test_what_python_shows_of_code_stays(self):
        shown = (
            "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_varnames", "co_freevars", "co_cellvars", "co_flags", "co_name",
            "co_qualname", "co_firstlineno", "co_filename", "co_nlocals",
        )
        for name, plain, made in self.pairs():
            for attribute in shown:
                self.assertEqual(getattr(made, attribute), getattr(plain, attribute), name)
            self.assertEqual(made.co_names[: len(plain.co_names)], plain.co_names, name)

    def test_every_unit_has_a_trap_or_a_reason(self):
        without = 0
        for path, plain, made in self.modules:
            before, after = traps.units_of(plain), traps.units_of(made)
            self.assertEqual(list(before), list(after), path)
            for unit, code in after.items():
                trap = traps.trap_of(code)
                if trap is None:
                    without += 1
                    # Far from its trailer, and too short or led back into by a loop.
                    body = traps.Body(before[unit], path, [])
                    start = traps._entry(before[unit])
                    far = (body.length - start) // 2 >= 257
                    self.assertTrue(far and (body.length - start < 6 or body.jumps_into(start, start + 6)), (path, unit))
                    continue
                self.assertEqual((trap[traps.FILE], trap[traps.UNIT]), (path, unit))
                self.assertEqual(trap[traps.OFFSET], traps._entry(before[unit]))
                self.assertEqual(code.co_code[trap[traps.LANDING]], traps.POP)
                self.assertEqual(code.co_stacksize, before[unit].co_stacksize + layout.SLACK)
        self.assertLess(without, 10)

    def test_copies_have_the_positions_and_handlers_of_what_they_copy(self):
        copies = 0
        for name, plain, made in self.pairs():
            trap = traps.trap_of(made)
            if trap is None or trap[traps.KIND] != traps.TWICE:
                continue
            copies += 1
            start, copy = trap[traps.OFFSET], trap[traps.LANDING] + 2
            length = 0
            while length < len(trap[traps.ORIGINAL]):
                length += 2 + 2 * traps.CACHES[plain.co_code[start + length]]
            self.assertEqual(made.co_code[copy : copy + length], plain.co_code[start : start + length], name)
            positions = list(made.co_positions())
            self.assertEqual(positions[copy // 2 : (copy + length) // 2], positions[start // 2 : (start + length) // 2], name)
            for offset in range(0, length, 2):
                found = [[h[2:] for h in traps.handlers(made.co_exceptiontable) if h[0] * 2 <= at < h[1] * 2] for at in (start + offset, copy + offset)]
                self.assertEqual(found[0], found[1], name)
        self.assertGreater(copies, 3000)


def grown(first, size):
    """A function that begins with some statements and is at least `size` bytes of bytecode long."""
    lines = ["def f(x=3):"] + ["    " + line for line in first.splitlines()] + ["    y = 0"]
    lines += ["    y = y + 1"] * (size // 10) + ["    print('end', y)", "    return y"]
    return "\n".join(lines) + "\n"


FIRSTS = {
    "assignment": "a = x",
    "two loads": "print(x, x)",
    "try": "try:\n    a = 1 / 0\nexcept ZeroDivisionError as e:\n    print(e)",
    "try on one line": "try: undefined\nexcept NameError as e: print(e)",
    "try finally": "try:\n    print(x)\nfinally:\n    print('finally')",
    "while": "while x:\n    x = x - 1\n    print(x)",
    "endless while": "while True:\n    x -= 1\n    if x < 0: break\n    print(x)",
    "while on one line": "while True: x -= 1; 1 / x if x < 2 else 0; break",
    "for": "for i in range(x):\n    print(i)",
    "for over literal": "for i in (1, 2, 3):\n    if i == 2: continue\n    print(i)",
    "with": "import io\nwith io.StringIO() as s:\n    s.write('a')\n    print(s.getvalue())",
    "with parameter": "from contextlib import nullcontext as n\nwith n(x) as z: print(z)",
    "if": "if x:\n    print('yes')\nelse:\n    print('no')",
    "nested function": "def g():\n    return x + 1\nprint(g())",
    "class": "class K:\n    v = x\nprint(K.v)",
    "comprehension": "print([i * x for i in range(3)])",
    "delete": "del x\nprint('gone')",
    "global": "global G\nG = 1\nprint(G)",
    "match": "match x:\n    case 3: print('three')\n    case _: print('other')",
    "assert": "assert x, 'no'",
    "lambda": "g = lambda: x\nprint(g())",
}
RAISING = {
    "name": "undefined",
    "name in try": "try: undefined\nexcept ValueError: pass",
    "unbound": "z\nz = 1",
    "deleted": "del z\nz = 1",
    "loop over name": "for i in undefined:\n    pass",
    "attribute": "x.nothing",
    "call": "x()",
    "raise": "raise KeyError(x)",
    "raise in try": "try:\n    raise KeyError(x)\nfinally:\n    print('finally')",
    "assertion": "assert not x, x",
    "division": "1 / (x - x)",
    "import": "import nothing_of_this_name",
    "with": "with x: pass",
}


class Behaviour(Case):
    """Programs do under traps what they do without."""

    def check(self, source):
        under, cold = self.stage.under(source), self.stage.cold(source)
        self.assertEqual(under.seen(), cold.seen())
        return under

    def test_first_statements_of_every_kind(self):
        for size in (0, 600, 131200):
            calls = "\nfor i in range(12):\n    try:\n        f(i % 4)\n    except Exception as e:\n        print(type(e), e, e.__traceback__.tb_next.tb_lineno)\n"
            for name, first in FIRSTS.items():
                if size > 131072 and name not in ("assignment", "try", "while", "endless while", "for", "with", "if"):
                    continue
                with self.subTest(name, size=size):
                    source = grown(first, size)
                    if size:
                        self.assertGreater(len(traps.units_of(compile(source, FILE, "exec"))["f#0"].co_code), min(size, 131072) if size > 131072 else 512)
                    self.check(source + calls)

    def test_exceptions_of_displaced_instructions(self):
        for size in (0, 600, 131200):
            for name, first in RAISING.items():
                if size > 131072 and name not in ("name", "unbound", "name in try"):
                    continue
                for calls in ("f()\n", "try: f()\nexcept Exception as e: print(repr(e))\nf()\n"):
                    with self.subTest(name, size=size):
                        under = self.check(grown(first, size) + calls)
                        self.assertIsNotNone(under.error)

    def test_exceptions_are_caught_by_the_surrounding_try(self):
        for size in (0, 600):
            for body in ("try: undefined\nexcept NameError as e: print('caught', e)\nfinally: print('finally')",
                         "try: z\nexcept UnboundLocalError: z = 5\nprint(z)",
                         "try: x.nothing\nexcept AttributeError as e: print(e)"):
                self.check(grown(body, size) + "f()\nf()\nf()\n")

    def test_two_activations_and_no_more(self):
        source = (
            "def f(n):\n    return f(n - 1) + 1 if n else 0\n"
            "def gen():\n    yield 1\n    yield 2\n"
            "async def co():\n    return 3\n"
            "async def agen():\n    yield 4\n"
            "def outer(a):\n    def inner():\n        return a\n    return inner\n"
            "class K:\n    def __init__(self):\n        self.v = 1\n    @property\n    def p(self):\n        return self.v\n"
            "    @staticmethod\n    def s():\n        return 5\n    @classmethod\n    def c(cls):\n        return cls.__name__\n"
            "def run(c):\n    try:\n        c.send(None)\n    except (StopIteration, StopAsyncIteration) as e:\n        return getattr(e, 'value', None)\n"
            "async def drain():\n    return [x async for x in agen()]\n"
            "def loop():\n    t = 0\n    for i in range(50):\n        t += i\n    return t\n"
            "def once():\n    return 1\n"
            "def never():\n    return 1\n"
            "for i in range(20):\n    print(f(5), list(gen()), run(co()), run(drain()), outer(i)(), K().p, K.s(), K.c(), loop())\nonce()\n"
        )
        calls = []
        original = hook.thaw

        @layout.hidden
        def counted(trap):
            calls.append(trap[traps.UNIT])
            original(trap)

        hook.thaw = counted
        try:
            under = self.check(source)
        finally:
            hook.thaw = original
        twice = ["f#0", "gen#0", "co#0", "agen#0", "outer#0", "outer.<locals>.inner#0", "K.__init__#0", "K.p#0", "K.s#0", "K.c#0", "run#0", "drain#0", "loop#0"]
        for unit in twice:
            self.assertEqual([e[0] for e in under.events if e[1:] == (unit,)], ["exec", "again"], unit)
            self.assertEqual(calls.count(unit), 2, unit)
        for unit in ("once#0", "<module>"):
            self.assertEqual([e[0] for e in under.events if e[1:] == (unit,)], ["exec"], unit)
        self.assertNotIn("never#0", calls)

    def test_statement_traps_fire_once_each(self):
        source = "print(1)\nx = [2]\nprint(x)\nfor i in range(30):\n    print(i)\nif x:\n    print(3)\nwith open('/dev/null') as f:\n    print(4)\nwhile x:\n    x.pop()\ntry:\n    print(1 / 0)\nexcept ZeroDivisionError as e:\n    print(e)\nassert True\ndel x\n"
        under = self.check(source)
        self.assertIsNone(under.error)
        self.check("if __name__ == '__main__':\n    print(1)\n    print(2)\n    for i in range(3):\n        print(i)\n")
        self.check("'''print(1)\nprint(2)\n'''\nprint(__doc__)\n")
        self.check("x = (\nprint(1),\nprint(2),\n)\n")

    def test_long_module(self):
        self.check("print(0)\n" + "x = 1\n" * 40000 + "print(x)\nfor i in range(20):\n    print(i)\nundefined\n")
        self.check("x = 1\n" * 100 + "print(x)\n" * 100)

    def test_code_without_a_first_line(self):
        code = compile("def f():\n    return 1\nf()\n", FILE, "exec")
        child = next(iter(traps.nested(code)))
        bare = code.replace(co_consts=tuple(child.replace(co_linetable=b"") if type(c) is types.CodeType else c for c in code.co_consts))
        traps.instrument(bare, FILE)

    def test_class_bodies_closures_and_super(self):
        self.check(
            "class A:\n    x = [i for i in range(3)]\n    y = (lambda v: v + 1)(2)\n    def f(self):\n        return 'A', __class__.__name__\n"
            "class B(A):\n    def f(self):\n        return super().f() + ('B',)\n    class C:\n        def g(self):\n            return __class__.__qualname__\n"
            "def counter():\n    n = 0\n    def up(by=1):\n        nonlocal n\n        n += by\n        return n\n    return up\n"
            "u, v = counter(), counter()\nprint(A.x, A.y, [B().f() for _ in range(4)], B.C().g(), [u() for _ in range(9)], v(5))\n"
        )

    def test_generators_that_are_sent_thrown_and_closed(self):
        self.check(
            "def g(a, *b):\n    try:\n        while True:\n            a = yield a, b\n    except ValueError as e:\n        yield 'caught', str(e)\n    finally:\n        print('closed')\n"
            "for n in range(4):\n    i = g(n, 1)\n    print(next(i), i.send(5), i.send(6))\n    print(i.throw(ValueError('x')))\n    i.close()\n"
            "def d():\n    x = yield from g(1)\n    return x\n"
            "for n in range(3):\n    i = d(); print(next(i), i.send(2)); i.close()\n"
            "i = g(1)\ntry:\n    i.throw(KeyError('early'))\nexcept KeyError as e:\n    print(repr(e))\n"
            "i = g(1)\ni.close()\n"
        )

    def test_coroutines(self):
        self.check(
            "import asyncio\n"
            "async def a(n):\n    await asyncio.sleep(0)\n    return n\n"
            "class M:\n    async def __aenter__(self):\n        return 1\n    async def __aexit__(self, *e):\n        print('exit', e[0])\n        return True\n"
            "async def ag(n):\n    for i in range(n):\n        await asyncio.sleep(0)\n        yield i\n"
            "async def main():\n    async with M() as m:\n        print(m, await asyncio.gather(*[a(i) for i in range(12)]))\n        print([x async for x in ag(5)], [x async for x in ag(2)])\n        raise KeyError\n    return 7\n"
            "print(asyncio.run(main()))\nprint(asyncio.run(main()))\n"
        )

    def test_recursion_to_the_limit(self):
        self.check("import sys\ndef f(n):\n    return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as e:\n    print(e)\nprint(sys.getrecursionlimit())\n")


if __name__ == "__main__":
    unittest.main()
