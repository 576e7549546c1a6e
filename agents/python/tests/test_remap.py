"""Which half-run bodies may go on under edited code. Every yes is carried out and compared with a cold run."""
import unittest

from support import MARK, MODULE, VERSION, Case

BOTH, NEVER, INLINE_ONLY = "can", "cannot", "can where the call is inlined"
# Where a function begins with a loop that comes back to its very first instruction, its trap cannot wait for a second call.
LOOP_FIRST = BOTH if VERSION < (3, 14) else NEVER
# What computes a module's annotations is made before its first statement.
ANNOTATED = BOTH if VERSION < (3, 14) else NEVER

# The body of f(x) in which `mark()` is called, the edited body, and whether the frame may go on.
BODIES = {
    # Behind the running statement.
    "added behind": ("mark()\nprint(1)", "mark()\nprint(1)\nprint(2)", BOTH),
    "added in between": ("mark()\nprint(1)", "mark()\nprint(0)\nprint(1)", BOTH),
    "removed behind": ("mark()\nprint(1)\nprint(2)", "mark()\nprint(2)", BOTH),
    "all removed behind": ("mark()\nprint(1)\nprint(2)", "mark()", BOTH),
    "changed behind": ("mark()\nprint(1)", "mark()\nprint(2)", BOTH),
    "return added": ("mark()\nprint(1)", "mark()\nprint(1)\nreturn x", BOTH),
    "return removed": ("mark()\nprint(1)\nreturn x", "mark()\nprint(1)", BOTH),
    "return changed": ("mark()\nreturn x", "mark()\nreturn -x", BOTH),
    "return of nothing": ("mark()\nreturn x", "mark()\nreturn", BOTH),
    "return of None": ("mark()\nreturn None", "mark()\nprint(1)\nreturn None", BOTH),
    "added behind the last": ("mark()", "mark()\nprint(1)", BOTH),
    "added behind an assignment": ("y = mark()", "y = mark()\nreturn y", BOTH),
    "value used later": ("y = mark()\nreturn 1", "y = mark()\nz = [y, x]\nreturn z", BOTH),
    "loop added": ("mark()", "mark()\nfor i in range(3):\n    print(i, x)", BOTH),
    "try added": ("mark()\nprint(1)", "mark()\ntry:\n    print(1 / 0)\nexcept ZeroDivisionError as e:\n    print(e)\nfinally:\n    print('f')", BOTH),
    "try taken away": ("mark()\ntry:\n    print(1 / 0)\nexcept ZeroDivisionError as e:\n    print(e)", "mark()\nprint(1)", BOTH),
    "nested function added": ("mark()\nreturn x", "mark()\ndef g(y):\n    return x + y\nreturn g(1)", BOTH),
    "nested function removed": ("mark()\ndef g(y):\n    return x + y\nreturn g(1)", "mark()\nreturn x", BOTH),
    "nested function edited": ("mark()\ndef g(y):\n    return x + y\nreturn g(1)", "mark()\ndef g(y, z=2):\n    return x + y + z\nreturn g(1)", BOTH),
    "comprehension behind": ("mark()\nreturn x", "mark()\nreturn [x + i for i in range(3)]", BOTH),
    "import behind": ("mark()\nreturn x", "mark()\nimport math\nreturn math.floor(x)", BOTH),
    "class behind": ("mark()\nreturn x", "mark()\nclass K:\n    v = x\nreturn K.v", BOTH),
    "assert behind": ("mark()\nreturn x", "mark()\nassert x < 0, x", BOTH),
    "raise behind": ("mark()\nreturn x", "mark()\nraise KeyError(x)", BOTH),
    # The running statement itself.
    "running one changed": ("print(mark(), 1)\nprint(2)", "print(mark(), 2)\nprint(2)", NEVER),
    "running one removed": ("print(1)\nmark()\nprint(2)", "print(1)\nprint(2)", NEVER),
    "running one moved into an if": ("mark()\nprint(2)", "if x:\n    mark()\nprint(2)", NEVER),
    "running one assigned": ("mark()\nprint(2)", "y = mark()\nprint(2)", NEVER),
    "running one is returned": ("return mark()", "return mark() + 1", NEVER),
    "constant of another type": ("y = [1, mark()]\nreturn y", "y = [1.0, mark()]\nreturn y", NEVER),
    # Before it.
    "changed before": ("print(1)\nmark()\nprint(2)", "print(3)\nmark()\nprint(2)", NEVER),
    "added before": ("mark()\nprint(2)", "print(1)\nmark()\nprint(2)", NEVER),
    "removed before": ("print(1)\nmark()\nprint(2)", "mark()\nprint(2)", NEVER),
    "exchanged before": ("y = 1\nz = 2\nmark()\nprint(2)", "z = 2\ny = 1\nmark()\nprint(2)", NEVER),
    "1 became True before": ("y = 1\nmark()\nreturn y", "y = True\nmark()\nreturn y", NEVER),
    "0.0 became -0.0 before": ("y = 0.0\nmark()\nreturn y", "y = -0.0\nmark()\nreturn y", NEVER),
    "name before": ("y = x\nmark()\nreturn x", "z = x\nmark()\nreturn x", NEVER),
    "nested body before": ("def g():\n    return 1\nmark()\nreturn g()", "def g():\n    return 2\nmark()\nreturn g()", BOTH),
    "nested header before": ("def g(a=1):\n    return 1\nmark()\nreturn g()", "def g(a=2):\n    return 1\nmark()\nreturn g()", NEVER),
    "lambda before": ("g = lambda: 1\nmark()\nreturn g()", "g = lambda: 2\nmark()\nreturn g()", NEVER),
    "decorator before": ("@str\ndef g():\n    return 1\nmark()\nreturn x", "@len\ndef g():\n    return 1\nmark()\nreturn x", NEVER),
    "a local becomes global": ("y = 1\nmark()\nreturn y", "global y\ny = 1\nmark()\nreturn y", NEVER),
    "a global becomes local": ("print(len([]))\nmark()\nreturn 1", "print(len([]))\nmark()\nlen = 1\nreturn len", NEVER),
    "comment before": ("y = 1\nmark()\nreturn y", "# c\n\ny = 1\nmark()\nprint(y)\nreturn y", INLINE_ONLY),
    "spaces before": ("y = 1\nmark()\nreturn y", "y  =  1\nmark()\nprint(y)\nreturn y", BOTH),
    "docstring added": ("mark()\nreturn 1", "'doc'\nmark()\nreturn 1", NEVER),
    # Compound statements at the end, running inside them.
    "if at the end": ("if x:\n    mark()", "if x:\n    mark()\nprint(1)", BOTH),
    "if at the end, taken away behind": ("if x:\n    mark()\nprint(1)", "if x:\n    mark()", BOTH),
    "if and else at the end": ("if x:\n    mark()\nelse:\n    print(0)", "if x:\n    mark()\nelse:\n    print(0)\nprint(1)\nreturn 5", INLINE_ONLY),
    "else branch changed": ("if x:\n    mark()\nelse:\n    print(0)\nprint(2)", "if x:\n    mark()\nelse:\n    print(1)\nprint(2)", NEVER),
    "elif": ("if not x:\n    print(0)\nelif mark():\n    print(1)\nelse:\n    print(2)", "if not x:\n    print(0)\nelif mark():\n    print(1)\nelse:\n    print(2)\nprint(3)", INLINE_ONLY),
    "inside the block": ("if x:\n    mark()\n    print(1)\nprint(2)", "if x:\n    mark()\n    print(3)\nprint(2)", NEVER),
    "for at the end": ("for i in range(2):\n    mark()", "for i in range(2):\n    mark()\nprint(i)", BOTH),
    "for with else": ("for i in range(2):\n    mark()\nelse:\n    print('else')", "for i in range(2):\n    mark()\nelse:\n    print('else')\nreturn i", BOTH),
    "for with break": ("for i in range(9):\n    if mark() == 0:\n        break\nprint(i)", "for i in range(9):\n    if mark() == 0:\n        break\nprint('new', i)", BOTH),
    "while at the end": ("while x:\n    x -= 1\n    mark()", "while x:\n    x -= 1\n    mark()\nreturn x", LOOP_FIRST),
    "while behind something": ("y = x\nwhile y:\n    y -= 1\n    mark()", "y = x\nwhile y:\n    y -= 1\n    mark()\nreturn y, x", BOTH),
    "while with its condition running": ("while mark():\n    pass\nprint(1)", "while mark():\n    pass\nprint(2)", LOOP_FIRST),
    "endless while": ("while True:\n    mark()\n    break", "while True:\n    mark()\n    break\nprint(1)", NEVER),
    "try at the end": ("try:\n    mark()\nexcept ValueError:\n    print(0)", "try:\n    mark()\nexcept ValueError:\n    print(0)\nprint(1)", INLINE_ONLY),
    "in the handler": ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    mark()", "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    mark()\nprint(1)\nraise KeyError", INLINE_ONLY),
    "in finally": ("try:\n    print(0)\nfinally:\n    mark()", "try:\n    print(0)\nfinally:\n    mark()\nprint(1)", INLINE_ONLY),
    "in finally with an error": ("try:\n    1 / 0\nfinally:\n    mark()\nprint(1)", "try:\n    1 / 0\nfinally:\n    mark()\nprint(2)", BOTH),
    "with at the end": ("with W() as w:\n    mark()", "with W() as w:\n    mark()\nprint(w)", INLINE_ONLY),
    "with swallowing": ("with W() as w:\n    mark()\n    1 / 0\nprint(1)", "with W() as w:\n    mark()\n    1 / 0\nprint(2)", BOTH),
    "with several": ("with W() as w, W() as v:\n    mark()\nprint(1)", "with W() as w, W() as v:\n    mark()\nreturn 2", BOTH),
    "match at the end": ("match x:\n    case 3:\n        mark()\n    case _:\n        print(0)", "match x:\n    case 3:\n        mark()\n    case _:\n        print(0)\nprint(1)", INLINE_ONLY),
    "return inside an if": ("if mark():\n    return 1\nreturn 2", "if mark():\n    return 1\nreturn 3", BOTH),
    "bare return inside an if": ("if mark():\n    return\nprint(1)", "if mark():\n    return\nprint(2)", BOTH),
    "return inside a loop": ("for i in range(3):\n    if mark():\n        return i\nreturn 7", "for i in range(3):\n    if mark():\n        return i\nreturn 8", BOTH),
    "return None inside a branch": ("if x:\n    mark()\n    return None\nprint(1)", "if x:\n    mark()\n    return None\nprint(2)", BOTH),
    "return in finally": ("try:\n    mark()\nfinally:\n    return 1\nprint(2)", "try:\n    mark()\nfinally:\n    return 1\nprint(3)", BOTH),
    "the last is a return": ("return mark()", "return mark()\nprint(1)", INLINE_ONLY),
    # Layout of the text.
    "two on a line": ("mark(); y = 1\nprint(y)", "mark(); y = 1\nprint(-y)", BOTH),
    "second on a line": ("y = 1; mark()\nprint(y)", "y = 1; mark()\nprint(-y)", BOTH),
    "rest of the line": ("mark(); y = 1\nprint(y)", "mark(); y = 2\nprint(y)", NEVER),
    "line broken up behind": ("mark()\nprint(1, 2)", "mark()\nprint(\n    1,\n    3,\n)", BOTH),
    "over several lines": ("print(\n    1,\n    mark(),\n    x,\n)\nprint(2)", "print(\n    1,\n    mark(),\n    x,\n)\nprint(3)", BOTH),
    "over several lines, one edited": ("print(\n    1,\n    mark(),\n    x,\n)\nprint(2)", "print(\n    1,\n    mark(),\n    -x,\n)\nprint(2)", NEVER),
    "backslash": ("y = 1 + \\\n    mark()\nreturn y", "y = 1 + \\\n    mark()\nreturn -y", BOTH),
    "multi-line string": ("y = '''a\nb''' * (mark() + 1)\nreturn y", "y = '''a\nb''' * (mark() + 1)\nreturn y + '''\n\n'''", BOTH),
    # Variables.
    "captured later": ("mark()\nreturn x", "mark()\ng = lambda: x\nx = 7\nreturn g()", BOTH),
    "no longer captured": ("mark()\ng = lambda: x\nreturn g()", "mark()\nreturn x", BOTH),
    "captured before, changed later": ("g = lambda: x\nmark()\nreturn g()", "g = lambda: x\nmark()\nx = 9\nreturn g()", BOTH),
    "star arguments": ("y = [*[mark(), x]]\nreturn y", "y = [*[mark(), x]]\na, *b = y\nreturn b", BOTH),
    "walrus": ("if (y := mark()) == 0:\n    print(y)\nreturn y", "if (y := mark()) == 0:\n    print(y)\nreturn [y]", BOTH),
    "deleted later": ("mark()\nreturn x", "mark()\ndel x\nreturn x", BOTH),
    "became a generator": ("mark()\nprint(1)", "mark()\nyield 1", NEVER),
}

FUNCTION = (
    MARK
    + "class W:\n    def __enter__(self):\n        return 'w'\n    def __exit__(self, *e):\n        print('exit', e[0])\n        return True\n"
    + "def f(x):\n    %s\nprint(f(3))\nprint('end')\n"
)


def function(body, through_c):
    if through_c:
        body = body.replace("mark()", "max(map(mark, (1,)))")
    return FUNCTION % "\n    ".join(body.split("\n")) if "'''" not in body else FUNCTION % body.replace("\nreturn", "\n    return")


class Functions(Case):
    def test_there_are_many(self):
        self.assertGreater(len(BODIES), 60)

    def check(self, through_c):
        for name, (old, new, wanted) in BODIES.items():
            with self.subTest(name):
                outcome = self.never_wrong(function(old, through_c), function(new, through_c))
                can = wanted is BOTH or wanted is INLINE_ONLY and not through_c
                self.assertEqual(outcome.applied, can, outcome.refused)
                if not outcome.applied:
                    self.assertEqual(outcome.seen(), self.stage.cold(function(old, through_c)).seen())

    def test_called_by_the_interpreter(self):
        self.check(False)

    def test_called_by_c(self):
        self.check(True)

    def test_a_second_activation_is_never_taken_over(self):
        old = MARK + "def f(n):\n    if n:\n        f(n - 1)\n    else:\n        mark()\n    print(%d)\nf(1)\n"
        outcome = self.never_wrong(old % 1, old % 2)
        self.assertEqual(outcome.refused, "f#0 has run")

    def test_a_removed_function_that_runs(self):
        outcome = self.never_wrong(MARK + "def f():\n    mark()\nf()\n", MARK + "def g():\n    mark()\ng()\n")
        self.assertFalse(outcome.applied)

    def test_decorated_functions(self):
        program = MARK + "import functools\n@functools.lru_cache(\n    maxsize=None,\n)\ndef f(x):\n    mark()\n    return %s\nprint(f(1))\n"
        self.same(program % "x", program % "[i + x for i in (1, 2)].count(2)")
        self.assertFalse(self.never_wrong(program % "x", program.replace("None", "1") % "x").applied)

    def test_functions_of_equal_names(self):
        program = MARK + "def f(x):\n    return 0\nf(1)\ndef f(x):\n    mark()\n    return %s\nprint(f(1))\n"
        self.same(program % 1, program % 2)

    def test_generators_that_run(self):
        program = MARK + "def g():\n    mark()\n    yield %d\nprint(list(g()))\n"
        self.assertFalse(self.never_wrong(program % 1, program % 2).applied)


# Module code: old, new, and whether it may go on. Where it stands is the call of mark().
MODULES = {
    "behind": ("mark()\nprint(1)", "mark()\nprint(2)", BOTH),
    "at the end": ("mark()", "mark()\nprint(2)", BOTH),
    "before": ("x = [len('')]\nmark()\nprint(x)", "x = [len('a')]\nmark()\nprint(x)", NEVER),
    "display before": ("x = [1]\nmark()\nprint(x)", "x = [2]\nmark()\nprint(x)", BOTH),
    "function added behind": ("mark()\nprint(1)", "mark()\ndef g():\n    return 5\nprint(g())", BOTH),
    "function added before": ("mark()\nprint(1)", "def g():\n    return 5\nmark()\nprint(g())", BOTH),
    "function removed before": ("def g():\n    return 5\nmark()\nprint(1)", "mark()\nprint('g' in dir())", BOTH),
    "function removed unseen": ("def g():\n    return 5\nmark()\nprint(1)", "mark()\ntry: print(g())\nexcept NameError as e: print(e)", BOTH),
    "constant before": ("K = 5\nmark()\nprint(K)", "K = 6\nmark()\nprint(K)", BOTH),
    "constant before, used": ("K = 5\nprint(K)\nmark()\nprint(K)", "K = 6\nprint(K)\nmark()\nprint(K)", NEVER),
    "import before": ("mark()\nprint(1)", "import textwrap\nmark()\nprint(textwrap.dedent(' a'))", BOTH),
    "import from before": ("mark()\nprint(1)", "from textwrap import dedent as d, fill\nmark()\nprint(d(' a'), fill('b'))", BOTH),
    "docstring": ("mark()\nprint(1)", "mark()\nprint(__doc__)", BOTH),
    "class behind": ("mark()", "mark()\nclass K:\n    def m(self):\n        return [1]\nprint(K().m())", BOTH),
    "class base before": ("class K: pass\nmark()\nprint(K.__mro__)", "class K(dict): pass\nmark()\nprint(K.__mro__)", BOTH),
    "class base before, computed": ("class K: pass\nmark()\nprint(K.__mro__)", "class K(type({})): pass\nmark()\nprint(K.__mro__)", NEVER),
    "class base before, used": ("class K: pass\nk = K()\nmark()\nprint(K.__mro__)", "class K(dict): pass\nk = K()\nmark()\nprint(K.__mro__)", NEVER),
    "if name": ("if __name__ == '__main__':\n    mark()\n    print(1)", "if __name__ == '__main__':\n    mark()\n    print(2)\n    print(3)", BOTH),
    "if name, before": ("if __name__ == '__main__':\n    print(1)\n    mark()\n    print(1)", "if __name__ == '__main__':\n    print(2)\n    mark()\n    print(1)", NEVER),
    "if name, behind it": ("if __name__ == '__main__':\n    mark()\n    print(1)", "if __name__ == '__main__':\n    mark()\n    print(1)\nprint(2)", NEVER),
    "if name, nothing behind": ("if __name__ == '__main__':\n    mark()", "if __name__ == '__main__':\n    mark()\n    print(2)", INLINE_ONLY),
    "if name with else": ("if __name__ == '__main__':\n    mark()\nelse:\n    print(1)\nprint(2)", "if __name__ == '__main__':\n    mark()\nelse:\n    print(1)\nprint(3)", BOTH),
    "if name undone": ("if __name__ == '__main__':\n    mark()\n    print(1)", "mark()\nprint(1)", NEVER),
    "decorated": ("@print\ndef g():\n    pass\nmark()\nprint(1)", "@repr\ndef g():\n    pass\nmark()\nprint(1)", NEVER),
    "loop": ("for i in range(3):\n    mark()\nprint(1)", "for i in range(3):\n    mark()\nprint(i)", BOTH),
    "several on a line": ("x = 1; mark(); y = 2\nprint(x)", "x = 1; mark(); y = 2\nprint(y)", BOTH),
    "body of what ran": ("def g():\n    return 1\ng()\nmark()\nprint(g())", "def g():\n    return 2\ng()\nmark()\nprint(g())", NEVER),
    "star import behind": ("mark()\nprint(1)", "mark()\nfrom math import *\nprint(floor(1.5))", BOTH),
    "augmented": ("x = 1\nx += mark()\nprint(x)", "x = 1\nx += mark()\nprint(-x)", BOTH),
    "annotated": ("x: int = mark()\nprint(x)", "x: int = mark()\ny: str\nprint(__annotations__)", ANNOTATED),
}

MOVING = {"function added before", "function removed before", "function removed unseen", "import before", "import from before"}


class Modules(Case):
    def check(self, through_c):
        for name, (old, new, wanted) in MODULES.items():
            if through_c:
                old, new = (text.replace("mark()", "max(map(mark, (1,)))") for text in (old, new))
            with self.subTest(name):
                outcome = self.never_wrong(MARK + old + "\n", MARK + new + "\n")
                # Lines of a statement that C code holds in the middle may not move.
                moves = through_c and name in MOVING
                self.assertEqual(outcome.applied, not moves and (wanted is BOTH or wanted is INLINE_ONLY and not through_c), outcome.refused)

    def test_called_by_the_interpreter(self):
        self.check(False)

    def test_called_by_c(self):
        self.check(True)

    def test_before_a_statement(self):
        """A checkpoint before a heavy statement: that one may be another in the edited version."""
        for new, wanted in (
            ("x = [1]\nprint(x)\nprint('new')\n", True), ("x = [1]\nprint(x)\nif x:\n    print('if')\nprint(3)\n", True), ("x = [1]\nprint(x)\n", True),
            ("x = [1]\nprint(x)\ndef g():\n    return 1\nprint(g())\n", True), ("x = [2]\nprint(x)\nprint('new')\n", False), ("x = [1]\nprint(-1)\nprint('new')\n", False),
            ("def g():\n    return 5\nx = [1]\nprint(x)\nprint(g())\n", True),
        ):
            with self.subTest(new):
                outcome = self.never_wrong("x = [1]\nprint(x)\nprint('old')\nprint('end')\n", new, 3)
                self.assertEqual(outcome.applied, wanted, outcome.refused)

    def test_a_module_that_ran_to_its_end(self):
        run = "def f():\n    mark()\n    print(g())\n"
        for old, new, wanted in (
            ("def g(): return 1\n", "def g(): return 2\n", True), ("K = 1\ndef g(): return K\n", "K = 2\ndef g(): return K\n", True),
            ("def g(): return 1\n", "def h(): return 3\ndef g(): return h()\n", True), ("def g(a=1): return a\n", "def g(a=2): return a\n", True),
            ("x = []\ndef g(): return x\n", "x = [1]\ndef g(): return x\n", True), ("x = g\ndef g(): return x\n", "x = [g]\ndef g(): return x\n", False), ("def g(): return 1\n", "print(1)\ndef g(): return 1\n", False),
            # That the module itself looked is for `mentioned` to say.
            ("K = 1\nprint(K)\ndef g(): return K\n", "K = 2\nprint(K)\ndef g(): return K\n", True),
        ):
            with self.subTest(new):
                answer = self.stage.remap(MARK + old + run, MARK + new + run, MODULE, None)
                self.assertEqual(answer["can"], wanted, answer.get("why"))

    def test_lines_of_lambdas_and_running_comprehensions(self):
        for old in ("g = lambda: 1 / 0\nmark()\n%s\ng()", "g = [lambda: 1 / 0 for _ in (1,)][0]\nmark()\n%s\ng()", "def h(i):\n    mark()\n    return 1 / i\n%sx = [h(i) for i in (1, 0)]\nprint(1)"):
            if "%sx" in old:
                pair = MARK + "def f():\n    " + (old % "").replace("\n", "\n    ") + "\nf()\n", MARK + "def f():\n    # moved\n    " + (old % "").replace("print(1)", "print(2)").replace("\n", "\n    ") + "\nf()\n"
            else:
                pair = MARK + old % "print(1)" + "\n", MARK + "# moved\n" + old % "print(2)" + "\n"
            with self.subTest(old):
                self.never_wrong(*pair)
        self.never_wrong(
            MARK + "def f():\n    x = 1\n    list(map(h, [1]))\n    print(1)\ndef h(a):\n    mark()\n    1 / 0\nf()\n",
            MARK + "def f():\n    x = 1\n    # moved\n    list(map(h, [1]))\n    print(2)\ndef h(a):\n    mark()\n    1 / 0\nf()\n",
        )


if __name__ == "__main__":
    unittest.main()
