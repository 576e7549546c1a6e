"""Names of an executed module that may come, go and change unnoticed."""
import ast
import unittest

from support import FILE, MARK, MODULE, Case, definitions, mentions

# Between two markers, a program in which nothing names `new` before the checkpoint.
PROGRAM = MARK + "%sdef late():\n    %s\ndef main():\n    mark()\n    late()\nmain()\n"


def statement(text):
    return ast.parse(text).body[0]


class Inert(unittest.TestCase):
    def test_what_only_binds(self):
        for text in (
            "def f(): pass", "def f(a, /, b=1, *c, d='x', **e): pass", "async def f(): pass", "def f(a: int, b: 'None' = None) -> str: pass".replace("'None'", "bool"),
            "X = 1", "X = -1.5", "X = (1, 'a', None)", "X = b''", "import os", "import os, sys as s", "from os import path, sep as p", "def f(a=(1, (2,))): pass",
            "def f(a=[]): pass", "X = []", "X = {}", "X = {1}", "X = 60 * 60 * 24", "X = [1, {'a': (2,)}]",
        ):
            self.assertTrue(definitions.inert(statement(text)), text)

    def test_what_does_more(self):
        for text in (
            "@d\ndef f(): pass", "X = 2 ** 100000", "X = 1 / 0", "X = [Y]", "def f(a=g()): pass", "def f(a=X): pass", "def f(a: g()): pass", "def f(a: K): pass", "def f() -> 'K': pass".replace("'K'", "K"),
            "X = f()", "X = Y", "X = Y = 1", "X, Y = 1, 2", "X.y = 1", "X[0] = 1", "X += 1", "X: int = 1", "class K: pass", "print()", "if 1: pass",
            "import this", "import antigravity", "import nothing_of_this_name", "from os import *", "from os import nothing_of_this_name", "from . import x", "from __future__ import annotations",
            "del X", "'text'", "for i in (): pass", "X = f'{y}'", "X = lambda: 1",
        ):
            self.assertFalse(definitions.inert(statement(text)), text)

    def test_what_a_file_tells_of_its_names(self):
        above = (
            "import re, logging, enum, abc\nfrom pathlib import Path\nfrom typing import List, NamedTuple, Optional\nfrom dataclasses import dataclass, field\n"
            "from collections import namedtuple\nfrom functools import lru_cache\nimport other\nclass Known: pass\nclass Hooked:\n    def __init_subclass__(cls): print(cls)\n"
        )
        above_count = len(ast.parse(above).body)
        for wanted, texts in (
            (True, (
                "X = re.compile('a+', re.I)", "X = logging.getLogger(__name__)", "X = Path(__file__).parent / 'data'", "X = logging.DEBUG", "X = namedtuple('X', 'a b')", "X = [re.compile('a')]",
                "def f(a: Known, b: 'Other', c: List[int] = [], d: Optional[Known] = None, *e: dict[str, int]) -> list[Known]: pass", "def f(a: int | None): pass",
                "class K: pass", "class K(Known): pass", "class K(Exception):\n    def __init__(self): pass", "@dataclass\nclass K:\n    a: int\n    b: list = field(default_factory=list)",
                "class K(enum.Enum):\n    A = 1\n    B = enum.auto()", "class K(NamedTuple):\n    a: int", "class K(abc.ABC):\n    @abc.abstractmethod\n    def m(self): pass", "class K:\n    @property\n    def p(self): return 1\n    @p.setter\n    def p(self, x): pass",
                "class K:\n    'doc'\n    X = re.compile('a')\n    @lru_cache(maxsize=None)\n    def m(self, a=()): pass",
            )),
            (False, (
                "X = re.compile('(')", "X = Path(__file__).resolve()", "X = open('f')", "X = other.thing()", "X = re.compile(other.x)", "X = Path.cwd()", "X = Y.parent", "X = namedtuple('X', 'a a')",
                "def f(a: unknown): pass", "def f(a: Known | None): pass", "def f(a: Known[int]): pass", "def f(a: other.T): pass", "def f(a: Later): pass\nclass Later: pass",
                "class K(Hooked): pass", "class K(other.Base): pass", "@other.d\nclass K: pass", "class K(metaclass=other.M): pass", "class K:\n    print(1)", "class K:\n    x = f()", "class K:\n    a = 1\n    b = [a]",
                "class K:\n    int = 5\n    def m(self, a: int): pass", "class K(enum.Enum):\n    A = 1\n    def __init__(self, x): print(x)", "class K:\n    for i in 'ab': pass", "class K:\n    @other.d\n    def m(self): pass",
                "@dataclass(frozen=other.x)\nclass K:\n    a: int",
            )),
        ):
            for text in texts:
                tree = ast.parse(above + text)
                at = tree.body[above_count]
                with self.subTest(text):
                    self.assertEqual(definitions.inert(at, False, definitions.Names(tree)), wanted)

    def test_the_docstring_is_the_first(self):
        self.assertTrue(definitions.inert(statement("'doc'"), True))
        self.assertFalse(definitions.inert(statement("5"), True))

    def test_bindings_differ_with_what_calls_can_see(self):
        base = "def f(a, b=1, *, c: int = 2): return 1"
        same = ["def f(a, b=1, *, c: int = 2): return 2", "def f(a, b=1, *, c: int = 2):\n    x = 5\n    # c\n    print(x)"]
        other = [
            "def f(a, b=2, *, c: int = 2): return 1", "def f(a, b=1.0, *, c: int = 2): return 1", "def f(a, b=True, *, c: int = 2): return 1", "def f(a, b=1, *, c: str = 2): return 1",
            "def f(a, b=1, *, d: int = 2): return 1", "def f(b, a=1, *, c: int = 2): return 1", "def f(a, b=1, c: int = 2): return 1", "def f(a, /, b=1, *, c: int = 2): return 1",
            "def f(a, b=1, *, c: int = 2) -> int: return 1", "def f(a, b=1, *, c: int = 2): 'doc'", "async def f(a, b=1, *, c: int = 2): return 1", "def f(a, b=1, *, c: int = 2): yield 1",
            "def f(a, b=1, *, c: int = 2): x = yield", "def f(a, b=1, *, c: int = 2): return (yield from a)",
        ]
        wanted = definitions.bindings(statement(base))
        for text in same:
            self.assertEqual(definitions.bindings(statement(text)), wanted, text)
        for text in other:
            self.assertNotEqual(definitions.bindings(statement(text)), wanted, text)
        yielding = "def f():\n    g = lambda: (yield 1)\n    def h(): yield 2\n    class K:\n        x = 1\n    return 1"
        self.assertEqual(definitions.bindings(statement(yielding))[0]["shape"], definitions.bindings(statement("def f(): return 1"))[0]["shape"])


class Coming(Case):
    def test_definitions_come_go_and_change(self):
        see = "print(new)"
        function = (
            "print(new(1), new.__defaults__, new.__kwdefaults__, new.__annotations__, new.__doc__, new.__module__, new.__qualname__, "
            "new.__name__, new.__code__.co_firstlineno, new.__closure__)"
        )
        cases = (
            ("", "new = 5\n", see), ("new = 5\n", "new = 5.0\n", see), ("new = 5\n", "new = (1, 'a', -0.0)\n", see), ("new = 5\n", "", see), ("def new(): pass\n", "", see),
            ("", "def new(a, /, b=1, *, c: int = 'x', **d: dict) -> list:\n    'doc'\n    return [a, b, c, d]\n", function), ("", "\n\ndef new(x):\n    return x\n", function),
            ("def new(a):\n    return a\n", "def new(a, b=2):\n    return a, b\n", function), ("def new(a):\n    'x'\n    return a\n", "def new(a):\n    'y'\n    return a\n", function),
            ("def new(a):\n    return a\n", "def new(a):\n    yield a\n", "print(list(new(1)))"), ("def new(a):\n    yield a\n", "def new(a):\n    return [a]\n", "print(list(new(1)))"),
            ("def new(a):\n    return a\n", "async def new(a):\n    return a\n", "c = new(1)\n    print(type(c))\n    c.close()"), ("def new(a):\n    return a\n", "new = 5\n", see), ("new = 5\n", "def new(a):\n    return a\n", "print(new(3))"),
            ("", "def new(a):\n    def g():\n        return a\n    return g()\n", "print(new(3), new(4))"), ("", "def new(n):\n    return n and new(n - 1)\n", "print(new(3), new(4))"),
            ("", "import textwrap as new\n", "print(new.dedent(' a'))"), ("", "from string import capwords as new\n", "print(new('a b'))"), ("import math as new\n", "import cmath as new\n", "print(new.sqrt(4))"),
            ("import os.path as new\n", "import posixpath as new\n", "print(new.__name__)"),
        )
        for old, new, look in cases:
            with self.subTest(new, old=old):
                late = "try:\n        %s\n    except NameError as e: print(e)" % look.replace("\n    ", "\n        ")
                outcome = self.never_wrong(PROGRAM % (old, late), PROGRAM % (new, late))
                if "os.path" not in old:
                    self.assertTrue(outcome.applied, outcome.refused)

    def test_values_and_classes_come_go_and_change(self):
        see = "print(new)"
        fields = "print(new(1, 2), new(1, 2) == new(1, 2), new.__doc__, new.__module__, new.__qualname__, new.__annotations__, new.__mro__)"
        data = "from dataclasses import dataclass, field\n"
        called = "x = new()\n    print(x.m(), new.__mro__, new.m.__qualname__, new.m.__code__.co_firstlineno, [n for n in dir(new) if n[0] != '_'])"
        for old, new, look in (
            ("", "new = [1, 2]\n", see), ("new = [1]\n", "new = [1, 2]\n", see), ("new = {'a': 1}\n", "new = {'a': [1]}\n", see), ("new = 60\n", "new = 60 * 60\n", see), ("new = {1}\n", "", see),
            ("", "import re\nnew = re.compile('a+', re.I)\n", "print(new, new.findall('Aab'))"), ("import re\nnew = re.compile('a')\n", "import re\nnew = re.compile('b')\n", see),
            ("", "import logging\nnew = logging.getLogger(__name__)\n", "print(new, new.level)"), ("", "from pathlib import Path\nnew = Path(__file__).parent / 'data'\n", see),
            ("", "from collections import namedtuple\nnew = namedtuple('new', 'a b')\n", "print(new(1, 2), new.__module__)"), ("", "import collections\nnew = collections.defaultdict(list, a=[1])\n", see),
            ("", "class new:\n    def m(self): return 1\n", called), ("class new:\n    def m(self): return 1\n", "class new(dict):\n    def m(self): return 2\n", called), ("class new: pass\n", "", see.replace("new", "new.__name__")),
            ("class new:\n    def m(self): return 1\n", "class new:\n    'Doc.'\n    def m(self): return super().__doc__ is None\n", called), ("class new:\n    def m(self): return 1\n", "class new(Exception):\n    x = [1]\n    def m(self): return self.x\n", called),
            ("", data + "@dataclass\nclass new:\n    a: int\n    b: int = 2\n", fields), (data + "@dataclass\nclass new:\n    a: int\n    b: int = 2\n", data + "@dataclass\nclass new:\n    'D'\n    b: int\n    a: int = 3\n", fields),
            (data + "@dataclass\nclass new:\n    a: int\n    b: int\n", data + "@dataclass(frozen=True)\nclass new:\n    a: int\n    b: int\n    c: list = field(default_factory=list)\n    def m(self): return self.a\n", fields + "\n    print(new(1, 2).m())"),
            ("", "import enum\nclass new(enum.Enum):\n    A = 1\n    B = enum.auto()\n", "print(list(new), new.A.name, new['B'].value)"), ("import enum\nclass new(enum.Enum):\n    A = 1\n", "import enum\nclass new(enum.Enum):\n    A = 2\n    C = 3\n", "print(list(new))"),
            ("", "from typing import NamedTuple\nclass new(NamedTuple):\n    a: int\n    b: str = 'x'\n", "print(new(1), new.__annotations__)"), ("class Base: pass\n", "class Base: pass\nclass new(Base):\n    @property\n    def m(self): return 1\n", "print(new().m, new.__mro__, Base.__subclasses__())"),
            ("", "import abc\nclass new(abc.ABC):\n    @abc.abstractmethod\n    def m(self): pass\n", "try: new()\n    except TypeError as e: print(e)"), ("", data + "@dataclass\nclass new:\n    a: list = []\n", fields),
            ("class Other: pass\n", "class Other: pass\ndef new(a: Other, b: 'text', c: 'list[int]' = []) -> 'Other | None':\n    c.append(a)\n    return c\n", "print(new.__annotations__, new(1, 2), new(2, 3))"),
            ("def new(a): return a\n", "def new(a: list[int], b: int = 60) -> dict[str, int]: return a\n", "print(new.__annotations__, new(1), new.__defaults__)"),
        ):
            with self.subTest(new, old=old):
                late = "try:\n        %s\n    except NameError as e: print(e)" % look.replace("\n    ", "\n        ")
                outcome = self.never_wrong(PROGRAM % (old, late), PROGRAM % (new, late))
                refused = "a: list = []" in new or "__subclasses__" in look
                self.assertEqual(outcome.applied, not refused, outcome.refused)

    def test_classes_that_somebody_has_noticed(self):
        for above, old, new in (
            ("", "class new:\n    x = 1\nk = new()\n", "class new(dict):\n    x = 1\nk = new()\n"), ("", "class new: pass\nclass K(new): pass\n", "class new(dict): pass\nclass K(new): pass\n"),
            ("class Base: pass\n", "def f(): return Base.__subclasses__()\nf()\n", "def f(): return Base.__subclasses__()\nclass new(Base): pass\nf()\n"), ("A = 1\n", "def f(): return new\nclass new: pass\nx = f()\n", "def f(): return new\nclass new(list): pass\nx = f()\n"),
        ):
            with self.subTest(new):
                self.never_wrong(PROGRAM % (above + old, "print(1)"), PROGRAM % (above + new, "print(1)"))

    def test_future_annotations_are_texts(self):
        future = "from __future__ import annotations\n"
        see = "print(new.__annotations__)"
        for text in ("def new(a: int, *, b: Unknown[1:2] = None, **c: 'x') -> list [ int ]: pass\n", "def new(a: (lambda: 1), b: f()): pass\n"):
            outcome = self.never_wrong(future + PROGRAM % ("", "print(1)"), future + PROGRAM % (text, see))
            self.assertTrue(outcome.applied, outcome.refused)

    def test_called_only_where_edited(self):
        late = "print('old')"
        outcome = self.stage.resumed(PROGRAM % ("", late), (PROGRAM % ("def new(a: int, b=2):\n    return a + b\n", "print(new(1))")))
        self.assertTrue(outcome.applied)
        self.assertEqual(outcome.printed, "3\n")

    def test_special_names_and_future_annotations(self):
        see = "import sys\n    m = sys.modules['program']\n    print(%s)"
        for old, new, late in (
            ("", "def __getattr__(name):\n    return name\n", see % "m.nothing"), ("", "__name__ = 'other'\n", see % "m.__name__"), ("", "__all__ = ('late',)\n", see % "m.__all__"),
            ("", "def __dir__():\n    return ['a']\n", see % "m"), ("", "print = len\n", see % "1"), ("", "def print(*a):\n    pass\n", see % "1"), ("", "def len(a):\n    return 5\n", see % "len([])"),
            ("class K: pass\n", "__name__ = 'other'\nclass K: pass\n", "print(K.__module__)"),
            ("int = float\n", "int = float\ndef new(a: int): pass\n", "print(new.__annotations__)"), ("", "int = 5\ndef new(a: int): pass\n", "print(new.__annotations__)"),
        ):
            late = "try:\n        %s\n    except (NameError, AttributeError) as e: pass" % late.replace("\n    ", "\n        ")
            with self.subTest(new):
                self.never_wrong(PROGRAM % (old, late), PROGRAM % (new, late))
        future = "from __future__ import annotations\n"
        self.never_wrong(future + PROGRAM % ("", "print(1)"), future + PROGRAM % ("def new(a: int): pass\n", "print(new.__annotations__)"))

    def test_the_order_of_names(self):
        for look in ("list(globals())", "[n for n in vars()]", "list(__import__('program').__dict__)", "[n for n, _ in __import__('inspect').getmembers(__import__('program'))]", "dir(__import__('program'))"):
            late = "print([n for n in %s if n[0] != '_'])" % look.replace("vars()", "vars(__import__('program'))")
            with self.subTest(look):
                self.never_wrong(PROGRAM % ("", late), PROGRAM % ("def new(): pass\n", late))

    def test_names_come_where_their_statement_stands(self):
        look = "print([n for n in list(__import__('program').__dict__) if n[0] != '_'])"
        told = (
            ("%sdef b(): pass\nX = len('')\nclass C: pass\n", True), ("A = 1\n%sX = len('')\nclass C: pass\n", True), ("A = 1\nX = len('')\n%sclass C: pass\n", True),
            ("import os\n%sX = len('')\n", True), ("A = B = len('')\n%sX = [1]\n", True), ("for i in 'ab': pass\n%sprint(1)\nX = 1\n", False), ("X = 1\nprint(1)\n%sprint(2)\nY = 1\n", True),
            ("X = 1\nif X: Z = 1\n%sif X: W = 2\nY = 1\n", False), ("X = 1\nif X: Z = 1\n%sY = 1\n", True), ("def A(): pass\nA = A\n%sA = 3\nY = [1]\n", False),
            ("def g():\n    global Y\n    Y = 2\ng()\nX = [2]\n%sdef Y(): pass\n", True), ("X = 1\nX = [X]\n%sX = [X]\nY = 1\n", False),
            ("try:\n    X = 1\nfinally:\n    Y = 2\n%sdel X\nZ = [3]\n", False),
        )
        for program, sure in told:
            for new in ("new = 5\n", "def new(): pass\n", "def new(): pass\nother = 3\n"):
                with self.subTest(program, new=new):
                    outcome = self.never_wrong(PROGRAM % (program % "", look), PROGRAM % (program % new, look))
                    if sure:
                        self.assertTrue(outcome.applied, outcome.refused)
        for old, new in (("A = 1\nB = 2\nC = 3\n", "B = 2\nC = 3\nA = 1\n"), ("A = 1\nX = [1]\nB = 2\nC = 3\n", "A = 1\nX = [1]\nC = 3\nB = 2\n"), ("A = 1\nB = 2\nC = 3\n", "C = 3\nN = 4\nA = 1\n"), ("import os\nimport sys\n", "import sys\nimport os\n")):
            with self.subTest(new):
                outcome = self.never_wrong(PROGRAM % (old, look), PROGRAM % (new, look))
                self.assertTrue(outcome.applied, outcome.refused)

    def test_what_only_seems_to_look_around(self):
        for before in (
            "x = getattr(str, 'upper')('a')\n", "x = hasattr(int, 'real')\n", "def f():\n    'Modules, vars and globals; format and eval.'\n    return 'getattr'\nf()\n",
            "def f(a):\n    return sorted(locals()), dir(), vars()\nf(1)\n", "from string import *\n",
            "import math\nx = [getattr(math, n) for n in ('pi',)], dir(math)\n", "class L:\n    globals = 1\nx = L().globals\n",
        ):
            with self.subTest(before):
                outcome = self.never_wrong(PROGRAM % (before, "print(1)"), PROGRAM % (before + "def new(): pass\n", "print(1)"))
                if "*" not in before:
                    self.assertTrue(outcome.applied, outcome.refused)
        for before in ("class K:\n    x = locals()\n", "def f():\n    class K:\n        x = sorted(vars())\nf()\n", "x = vars()\n", "import sys\nx = getattr(sys, 'modules')\n", "x = getattr(print, '__self__')\ny = getattr\n", "getattr(*(str, 'upper'))\n", "class L:\n    getattr = 1\nL().getattr\n", "import math\nmath = 'a'\nx = getattr(math, 'up' + 'per')\n", "import builtins\nx = builtins.globals()\n", "import builtins as b\nx = b.vars(b)\n", "import sys\nx = getattr(sys, 'mod' + 'ules')\n"):
            with self.subTest(before):
                self.assertFalse(self.never_wrong(PROGRAM % (before, "print(1)"), PROGRAM % (before + "def new(): pass\n", "print(1)")).applied)

    def test_a_function_stays_the_object_that_it_was(self):
        for old, new in (("def new(a, b=1):\n    return a, b\n", "def new(a, b=2, *, c: int = 3):\n    'doc'\n    return a, b, c\n"), ("def new(a):\n    'doc'\n", "def new(a, b=None):\n    yield a\n")):
            late = "kept = sys.modules['program'].__dict__['new']\n    print(kept is held[0], kept.__doc__, kept.__defaults__, kept.__kwdefaults__, held[0](1) if kept.__doc__ else list(held[0](1)))"
            before = "import sys\nheld = []\nclass K:\n    run = 1\n"
            program = MARK + before + "%sdef late():\n    %s\ndef main():\n    mark()\n    held.append(sys.modules['program'].__dict__['n' + 'ew'])\n    late()\nmain()\n"
            self.never_wrong(program % (old, late), program % (new, late))
        # One that libraries ask for, too.
        for old, new in (("def run(self, a=1):\n        return a", "def run(self, a=2):\n        'doc'\n        return a"), ("def items(self):\n        return 1", "def items(self, b=5):\n        return b")):
            name = old[4:].partition("(")[0]
            program = PROGRAM % ("class K:\n    %s\nk = K()\n", "print(k.%s(), K.%s.__doc__, K.%s.__defaults__)" % (name, name, name))
            self.never_wrong(program % old, program % new)

    def test_docstrings_are_for_people(self):
        for before, noticed in (("def f():\n    'What is new.'\nf()\n", False), ("class K:\n    'new'\n", False), ("def f():\n    'new'\nprint(f.__doc__)\nf()\n", True), ("def f():\n    'new'\n    return 'new'\nf()\n", True)):
            with self.subTest(before):
                outcome = self.never_wrong(PROGRAM % (before, "print(1)"), PROGRAM % (before + "def new(): pass\n", "print(1)"))
                self.assertEqual(outcome.applied, not noticed, outcome.refused)

    def test_noticed(self):
        for before in (
            "try: new\nexcept NameError: pass\n", "globals().get('new')\n", "x = 'new' in dir()\n", "import sys\nhasattr(sys.modules[__name__], 'new')\n", "def used():\n    return new\ntry: used()\nexcept NameError: pass\n",
            "eval('1')\n", "x = [lambda: new for _ in (1,)]\n", "class K:\n    try: y = new\n    except NameError: pass\n", "x = vars\nx()\n", "import program\ngetattr(program, 'n' + 'ew', 0)\n",
        ):
            with self.subTest(before):
                outcome = self.never_wrong(PROGRAM % (before, "print(1)"), PROGRAM % (before + "def new(): pass\n", "print(1)"))
                self.assertFalse(outcome.applied)

    def test_bound_elsewhere_too(self):
        for extra in ("for new in (): pass\n", "def g():\n    global new\n    new = 1\ng()\n", "import os as new\n", "class new: pass\n", "if 0:\n    new = 2\n", "try: 1 / 0\nexcept ZeroDivisionError as new: pass\n", "for x, *new in ((1, 2),): pass\n", "import os.path as new\n", "from os import sep as new\n", "def g():\n    globals()['new'] = 7\ng()\n", "if 1:\n    def new(): pass\n", "with open('/dev/null') as new: pass\n", "[new := 3]\n", "match 1:\n    case new: pass\n", "match {}:\n    case {**new}: pass\n", "match [1]:\n    case [*new]: pass\n"):
            late = "try: print(new)\n    except NameError as e: print(e)"
            with self.subTest(extra):
                self.never_wrong(PROGRAM % ("new = 5\n" + extra, late), PROGRAM % ("new = 6\n" + extra, late))
                self.never_wrong(PROGRAM % (extra, late), PROGRAM % (extra + "new = 6\n", late))
                self.never_wrong(PROGRAM % (extra, late), PROGRAM % ("new = 6\n" + extra, late))

    def test_members_of_classes(self):
        for old, new, late in (
            ("class K:\n    def a(self):\n        return 1\n", "class K:\n    def a(self):\n        return 2\n", "print(K().a())"),
            ("class K:\n    def a(self):\n        return 1\n", "class K:\n    x = 5\n    def a(self, b=2):\n        return b + self.x\n    def c(self):\n        return self.a()\n", "print(K().a(), K.x, K().c(), K.c.__qualname__, [n for n in sorted(K.__dict__)])"),
            ("class K:\n    x = 1\n", "class K:\n    pass\n", "print(hasattr(K, 'x'))"), ("class K:\n    x = 1\n", "class K:\n    x = 2\n", "print(K.x)"),
            ("class A:\n    def f(self): return 1\nclass K(A):\n    x = 1\n", "class A:\n    def f(self): return 1\nclass K(A):\n    x = 1\n    def f(self): return super().f() + 1\n", "print(K().f())"),
            ("class K:\n    y = x = 1\n", "class K:\n    x = 3\n    y = x = 1\n", "print(K.x)"), ("class K:\n    x = 1\n    y = x\n", "class K:\n    x = 2\n    y = x\n", "print(K.x, K.y)"),
            ("class M(type):\n    def __new__(m, n, b, d):\n        print(sorted(d)); return type.__new__(m, n, b, d)\nclass K(metaclass=M):\n    pass\n", "class M(type):\n    def __new__(m, n, b, d):\n        print(sorted(d)); return type.__new__(m, n, b, d)\nclass K(metaclass=M):\n    x = 1\n", "print(K.x)"),
            ("class B:\n    def __init_subclass__(c): print(sorted(vars(c)))\nclass K(B):\n    pass\n", "class B:\n    def __init_subclass__(c): print(sorted(vars(c)))\nclass K(B):\n    x = 1\n", "print(K.x)"),
            ("import dataclasses\n@dataclasses.dataclass\nclass K:\n    x: int = 1\n", "import dataclasses\n@dataclasses.dataclass\nclass K:\n    x: int = 2\n", "print(K())"),
            ("import enum\nclass K(enum.Enum):\n    x = 1\n", "import enum\nclass K(enum.Enum):\n    x = 2\n", "print(K.x)"), ("class K:\n    __slots__ = ()\n", "class K:\n    __slots__ = ('a',)\n", "k = K(); k.a = 1; print(k.a)"),
            ("class K:\n    pass\n", "class K:\n    def __eq__(self, o):\n        return True\n", "print(K() == 1, K.__hash__)"), ("class K:\n    pass\n", "class K:\n    def __len__(self):\n        return 3\n", "print(len(K()))"),
            ("class K:\n    'doc'\n", "class K:\n    'other'\n", "print(K.__doc__)"), ("class K:\n    def __p(self): return 1\n    def q(self): return self.__p()\n", "class K:\n    def __p(self, a=2): return a\n    def q(self): return self.__p()\n", "print(K().q())"),
            ("class K:\n    def a(self): return 1\n    def b(self): return 1\n", "class K:\n    def c(self): return 1\n    def a(self): return 1\n    def b(self): return 1\n", "print([n for n in K.__dict__])"),
            ("class D:\n    def __set_name__(self, o, n): print(n)\nclass K:\n    x = D()\n", "class D:\n    def __set_name__(self, o, n): print(n)\nclass K:\n    y = 1\n    x = D()\n", "print(K.y)"),
            ("k = None\nclass K:\n    x = 1\nk = K()\nk.x = 7\n", "k = None\nclass K:\n    x = 2\nk = K()\nk.x = 7\n", "print(k.x, K.x)"),
            ("class K:\n    def g(self):\n        return 1\n", "class K:\n    def g(self):\n        yield 1\n", "print(list(K().g()) if 0 else type(K().g()))"),
            ("class K:\n    class L:\n        x = 1\n", "class K:\n    class L:\n        x = 2\n", "print(K.L.x)"), ("class K: x = 1\n", "class K: x = 2\n", "print(K.x)"),
            ("class K:\n    x = 1\nclass L(K):\n    pass\n", "class K:\n    x = 1\nclass L(K):\n    x = 2\n", "print(L.x, K.x)"), ("class K:\n    @staticmethod\n    def s(): return 1\n", "class K:\n    @classmethod\n    def s(c): return 1\n", "print(K.s())"),
        ):
            with self.subTest(new):
                self.never_wrong(PROGRAM % (old, late), PROGRAM % (new, late))


class Mentioned(Case):
    def test_who_names_what(self):
        source = (
            "import helper\nX = 1\ndef a():\n    return new\ndef b():\n    return helper.new\ndef c():\n    return 'new'\ndef d():\n    return ('x', ('new',))\ndef e():\n    return {'k': 1, 'new': 2}\n"
            "def f():\n    return [lambda: new]\ndef g():\n    def h():\n        return new\n    return 1\ndef i():\n    return 'other'\ndef j():\n    return globals\ndef k(new):\n    return 1\nclass K:\n    def m(self):\n        return self.new\n"
            "def l():\n    from helper import new as other\ndef n():\n    return [new for x in y]\ndef o():\n    import new\n"
        )
        digest = self.stage.keep(source)[1]
        found = {unit for _, unit in mentions.mentioned(["new"], [[FILE, digest]], [], True, [], self.stage.cache)["units"]}
        self.assertEqual(found & {"a#0", "b#0", "c#0", "d#0", "e#0", "f#0", "j#0", "K.m#0", "l#0", "n#0", "o#0", "g.<locals>.h#0"}, {"a#0", "b#0", "c#0", "d#0", "e#0", "f#0", "j#0", "K.m#0", "l#0", "n#0", "o#0", "g.<locals>.h#0"})
        self.assertEqual(found & {"i#0", "k#0", "g#0", MODULE}, set())

    def test_module_code_names_what_it_uses(self):
        for text, named in (("def new(): pass\n", False), ("new = 1\n", False), ("def new(): pass\nnew()\n", True), ("x = [new]\n", True), ("@new\ndef f(): pass\n", True), ("def f(a=new): pass\n", True), ("class K(new): pass\n", True), ("from other import *\n", True), ("from os import *\n", False), ("import other\nother.new\n", True), ("x = {'new': 1}\n", True), ("def f(a: new): pass\n", True), ("def f() -> new: pass\n", True), ("del new\n", True), ("new += 1\n", True), ("f'{new}'\n", True), ("class K:\n    x = new\n", True)):
            digest = self.stage.keep(text)[1]
            found = [unit for _, unit in mentions.mentioned(["new"], [[FILE, digest]], [], True, [], self.stage.cache)["units"]]
            with self.subTest(text):
                self.assertEqual(MODULE in found, named)


if __name__ == "__main__":
    unittest.main()
