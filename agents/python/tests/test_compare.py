"""What counts as an edit, and of which unit."""
import os
import unittest

from support import FILE, MODULE, VERSION, Case, compare, loader
from thaw_agent import classes

BASE = '''"""About."""
import os

LIMIT = 5


@staticmethod
def plain(a: int, b=2, *, c: str = "x") -> int:
    """Doc."""
    return [a, b, c]


class K:
    """Class doc."""

    attribute = 1

    def method(self, x=3):
        def inner(y):
            return x + y
        return inner(1)

    @property
    def p(self):
        return lambda z: z + 1


async def co():
    async for x in y:
        yield x


if LIMIT:
    def twice():
        return 1
else:
    def twice():
        return 2
'''
PLAIN, METHOD, INNER, PROPERTY = "plain#0", "K.method#0", "K.method.<locals>.inner#0", "K.p#0"


# From 3.14 on code keeps its first constant, whether anything uses it or not.
FOLDED = [("x = 2 * 3", "x = 6")] if VERSION < (3, 14) else [("x = 1\ny = 2 * 3", "x = 1\ny = 6")]


class Constants(unittest.TestCase):
    def test_constants_are_told_apart(self):
        groups = [
            ["1", "1.0", "True", "1j", "'1'", "b'1'"], ["0", "0.0", "-0.0", "False", "0j", "-0j", "None", "''", "b''", "()"], ["(1,)", "(1.0,)", "(True,)", "(1, 1)"],
            ["((0.0,),)", "((-0.0,),)"], ["x in {1, 2}", "x in {1.0, 2}", "x in {True, 2}", "x in (1, 2)", "x in [1, 2, 3]"], ["...", "Ellipsis", "'...'"],
            ["1e308", "1e309", "-1e309", "10**308"], ["'\\udc80'", "'\\ud800'", "'\\x80'"], ["0.1", "0.1000000000000001", "1e-1j"], ["(0.0, -0.0)", "(-0.0, 0.0)"],
            ["'a' 'b'", "'a', 'b'", "f'a{b}'"], ["complex(0.0, -0.0)", "-0.0 - 0.0j", "0.0 - 0.0j"], ["x[1:2]", "x[1:2.0]", "x[1:True]"],
        ]
        for group in groups:
            prints = {text: compare.fingerprint(loader.compile_plain(FILE, ("y = " + text + "\n").encode("utf-8", "surrogatepass"))) for text in group}
            self.assertEqual(len(set(prints.values())), len(group), group)

    def test_equal_code_has_equal_fingerprints(self):
        for one, other in (("x = 1", "x  =  1 # c"), ("x in {1, 2, 'a'}", "x in {1,2,'a'}"), ("f(a,b)", "f(\n a,\n b,\n)"), ("x = 'ab'", "x = 'a' \"b\""), ("x = 0x10", "x = 16"), *FOLDED):
            first, second = (compare.fingerprint(loader.compile_plain(FILE, text.encode())) for text in (one, other))
            self.assertEqual(first, second, one)

    def test_sets_do_not_depend_on_their_order(self):
        import subprocess
        import sys

        script = (
            "import sys; sys.path.insert(0, '..')\nfrom thaw_agent import compare, loader\n"
            "print(compare.fingerprint(loader.compile_plain('f', b'x in {\"a\", \"b\", \"c\", (1, \"d\"), 5, None}')))"
        )
        here = os.path.dirname(os.path.abspath(__file__))
        found = {subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, cwd=here, env={**os.environ, "PYTHONHASHSEED": str(n)}).stdout for n in range(4)}
        self.assertEqual(len(found), 1)


class Differences(Case):
    def differ(self, old, new, source=BASE):
        self.assertEqual(source.count(old), 1, old)
        found = self.stage.diff(source, source.replace(old, new))
        return {name: set(found[name]) for name in found}

    def changed(self, old, new, *units):
        found = self.differ(old, new)
        self.assertEqual(found["changed"], set(units))
        return found

    def test_bodies(self):
        self.changed("return [a, b, c]", "return [a, b]", PLAIN)
        self.changed("return x + y", "return x - y", INNER)
        self.changed("return inner(1)", "return inner(2)", METHOD)
        self.changed("z + 1", "z + 2", PROPERTY)
        self.changed("yield x", "yield -x", "co#0")
        self.changed("return 2", "return 3", "twice#1")
        self.changed("return 1", "return 3", "twice#0")

    def test_headers_belong_to_what_encloses(self):
        self.changed("b=2", "b=3", MODULE)
        self.changed("b=2", "b=2.0", MODULE)
        self.changed('c: str = "x"', 'c: str = "y"', MODULE)
        self.changed("a: int", "a: float", MODULE)
        self.changed("a: int", "a", MODULE)
        self.changed("-> int", "-> float", MODULE)
        self.changed("@staticmethod\n", "@classmethod\n", MODULE)
        self.changed("@staticmethod\n", "", MODULE)
        self.changed("x=3", "x=4", MODULE)
        self.changed("    @property\n", "", MODULE)

    def test_parameters_change_both(self):
        self.changed("b=2", "bb=2", MODULE, PLAIN)
        self.changed("b=2, *", "b=2, d=5, *", MODULE, PLAIN)
        self.changed("(y)", "(y, *z)", METHOD, INNER)
        self.changed("a: int, b=2", "a: int, /, b=2", MODULE, PLAIN)

    def test_docstrings(self):
        self.changed('"""Doc."""', '"""Other."""', MODULE, PLAIN)
        self.changed('"""About."""', '"""Other."""', MODULE)
        self.changed('"""Class doc."""', '"""Other."""', MODULE)

    def test_class_bodies_belong_to_the_module(self):
        self.changed("attribute = 1", "attribute = 2", MODULE)
        self.changed("class K:", "class K(dict):", MODULE)
        self.changed("attribute = 1", "attribute = 1.0", MODULE)

    def test_closures(self):
        self.changed("return x + y", "return y", METHOD, INNER)

    def test_kinds_of_functions(self):
        self.changed("yield x", "return_ = x", MODULE, "co#0")
        found = self.changed("async for x in y:\n        yield x", "return 1", MODULE, "co#0")
        self.assertFalse(found["added"])

    def test_added_and_removed(self):
        found = self.changed("LIMIT = 5\n", "LIMIT = 5\ndef new():\n    def below(): pass\n", MODULE)
        self.assertEqual((found["added"], found["removed"]), ({"new#0", "new.<locals>.below#0"}, set()))
        found = self.changed("def inner(y):\n            return x + y\n        return inner(1)", "return x", METHOD)
        self.assertEqual((found["added"], found["removed"]), (set(), {INNER}))
        found = self.changed("def method", "def other", MODULE)
        self.assertEqual((found["added"], found["removed"]), ({"K.other#0", "K.other.<locals>.inner#0"}, {METHOD, INNER}))

    def test_equal_names_are_numbered(self):
        found = self.changed("if LIMIT:\n", "def twice():\n    return 0\nif LIMIT:\n", MODULE, "twice#0", "twice#1")
        self.assertEqual(found["added"], {"twice#2"})

    def test_comments_and_blank_lines_only_move(self):
        for old, new in (
            ("import os\n", "import os\n\n\n# comment\n"), ('"""Class doc."""\n', '"""Class doc."""\n    # comment\n'), ("return [a, b, c]", "return [a,  b,  c]"),
            ("return [a, b, c]", "return [\n        a,\n        b, c]"), ("LIMIT = 5", "LIMIT = (5)"), ("return inner(1)", "return inner(1)  # comment"),
        ):
            # From 3.13 on two variables are loaded by one instruction where they stand on one line.
            changed = {PLAIN} if VERSION >= (3, 13) and old == "return [a, b, c]" and "\n" in new else set()
            with self.subTest(new):
                found = self.differ(old, new)
                self.assertEqual((found["changed"], found["added"], found["removed"]), (changed, set(), set()))

    def test_what_moves(self):
        self.assertEqual(self.differ("return inner(1)", "return inner(1)  # comment")["moved"], set())
        # A definition ends where its body ends.
        self.assertEqual(self.differ("return [a, b, c]", "return [a,  b, c]")["moved"], {PLAIN, MODULE})
        self.assertEqual(self.differ("        return x + y", "        # c\n            return x + y")["moved"] & {INNER}, {INNER})
        everything = set(self.stage.diff(BASE, "# c\n" + BASE)["moved"])
        told = {classes.CLASSES} if classes.TOLD else set()
        self.assertEqual(everything, {MODULE, PLAIN, METHOD, INNER, PROPERTY, "co#0", "twice#0", "twice#1"} | told)

    def test_the_same_is_no_difference(self):
        self.assertEqual(self.stage.diff(BASE, BASE), {"changed": [], "moved": [], "shifted": [], "added": [], "removed": []})

    def test_line_numbers_in_a_lambda_of_a_default(self):
        found = self.differ("a=lambda: 1", "a=lambda: 2", "def f(a=lambda: 1):\n    return a\n")
        self.assertEqual(found["changed"], {MODULE})

    def test_names_and_globals(self):
        source = "def f():\n    x = y\n    return x\n"
        self.assertEqual(self.differ("y\n", "z\n", source)["changed"], {"f#0"})
        self.assertEqual(self.differ("    x = y", "    global x\n    x = y", source)["changed"], {"f#0"})

    def test_future_flags(self):
        source = "import os\ndef f(a: int):\n    return a\n"
        self.assertEqual(self.differ("import os", "from __future__ import annotations", source)["changed"], {MODULE, "f#0"})


class Checks(Case):
    def test_check_keeps_source_and_code(self):
        path = self.stage.cache + "/some.py"
        with open(path, "w") as file:
            file.write("def f():\n    return 1\n")
        digest = compare.check(path, self.stage.cache)["hash"]
        self.assertEqual(loader.read(loader.source_path(self.stage.cache, digest)), b"def f():\n    return 1\n")
        self.assertIsNotNone(loader.load(self.stage.cache, path, digest))
        self.assertEqual(compare.check(path, self.stage.cache)["hash"], digest)

    def test_check_says_what_is_wrong(self):
        path = self.stage.cache + "/bad.py"
        for text, kind in ((b"def f(:\n", SyntaxError), (b"x = 1\0\n", (ValueError, SyntaxError)), (b"# coding: nothing\n", SyntaxError), (b"x = '\xff'\n", SyntaxError)):
            with open(path, "wb") as file:
                file.write(text)
            with self.assertRaises(kind):
                compare.check(path, self.stage.cache)
        with self.assertRaises(FileNotFoundError):
            compare.check(self.stage.cache + "/absent.py", self.stage.cache)


if __name__ == "__main__":
    unittest.main()
