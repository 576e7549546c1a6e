"""Random programs, random edits: what goes on under edited code ends as a cold run does."""
import os
import random
import re
import unittest

from support import MARK, Case

PRELUDE = (
    MARK
    + "class W:\n    def __init__(self, n):\n        self.n = n\n    def __enter__(self):\n        print('enter', self.n)\n        return self.n\n"
    + "    def __exit__(self, kind, *rest):\n        print('exit', self.n, kind and kind.__name__)\n        return self.n == 2\n"
    + "def through(f, *a):\n    return sum(map(f, a or (1,)))\n"
)
VARIABLES = "abcdx"
# One out of so many of the edits is made.
PART = int(os.environ.get("AGENT_TEST_PART", "1"))


class Writer:
    """Writes bodies of functions: lists of statements, each a list of lines."""

    def __init__(self, seed, module=False):
        self.random = random.Random(seed)
        self.number = 0
        self.module = module

    def fresh(self):
        self.number += 1
        return self.number

    def value(self, depth=0):
        pick = self.random.choice
        kinds = [str(self.random.randrange(4)), pick(VARIABLES), pick(VARIABLES), "1.5", "(%s, %s)" % (pick(VARIABLES), self.fresh())]
        if depth < 2:
            one, other = self.value(depth + 1), self.value(depth + 1)
            kinds += ["[%s, %s]" % (one, other), "str(%s)" % one, "(%s if %s else %s)" % (one, pick(VARIABLES), other), "len(str(%s))" % one]
            kinds += ["[i for i in (%s, %s)]" % (one, other), "(lambda: %s)()" % one, "(%s or %s)" % (one, other), "(not %s)" % one, "f'{%s}'" % one, "len([\n    %s,\n    %s])" % (one, other)]
        return pick(kinds)

    def simple(self):
        pick, value = self.random.choice, self.value()
        return pick([
            "%s = %s" % (pick(VARIABLES), value), "%s = %s" % (pick(VARIABLES), value), "print(%d, %s)" % (self.fresh(), value), "print(%s)" % ", ".join(VARIABLES),
            "%s, %s = %s, %s" % (pick("abc"), pick("dx"), value, self.value()), "g = lambda: (%s, %s)" % (pick(VARIABLES), pick(VARIABLES)), "print(g())",
            "%s = %s; print(%s)" % (pick(VARIABLES), value, self.value()), "pass", "assert %s != 77" % pick(VARIABLES), "%d" % self.fresh(),
        ])

    def marked(self):
        """A statement that calls mark()."""
        call = self.random.choice(["mark()", "mark()", "mark(1)", "through(mark)", "max(map(mark, (1, 2)))", "[mark() for _ in (1,)]", "sorted([2, 1], key=mark)"])
        return self.random.choice(["%s", "a = %s", "print(%s)", "b = [%s, x]", "c, d = %s, x", "print([\n    a,\n    %s,\n])", "x = 1; d = %s; c = 2"]) % call

    def block(self, depth, count, mark):
        """A list of statements; `mark`: one of them contains the call."""
        place = self.random.randrange(count) if mark else -1
        return [self.statement(depth, n == place) for n in range(count)]

    def indented(self, depth, mark, may_leave=False):
        out = []
        for statement in self.block(depth, self.random.randrange(1, 4), mark):
            out += statement
        if may_leave and self.random.random() < 0.3:
            out.append(self.leave())
        return ["    " + line for line in out]

    def leave(self):
        if self.module:
            return "raise KeyError(%d)" % self.fresh()
        return self.random.choice(["return %s" % self.value(), "return", "return None", "raise KeyError(%d)" % self.fresh()])

    def statement(self, depth, mark):
        chance = self.random.random()
        if depth > 2 or chance < (0.4 if mark else 0.6):
            return (self.marked() if mark else self.simple()).split("\n")

        def inner(mark, leave=False):
            return self.indented(depth + 1, mark, leave)

        first, second = (mark, False) if self.random.random() < 0.6 else (False, mark)
        kind = self.random.choice(["if", "if", "else", "elif", "for", "forelse", "while", "try", "handler", "finally", "all", "with", "withs", "def", "class", "match"])
        n = self.fresh()
        if kind == "if":
            return ["if %s:" % ("True" if mark else self.value())] + inner(mark, True)
        if kind == "else":
            return ["if %s:" % (("x or 1" if first else "not (x or 1)") if mark else self.value())] + inner(first, True) + ["else:"] + inner(second, True)
        if kind == "elif":
            return ["if not (x or 1):"] + inner(False, True) + ["elif %s:" % ("mark() == 0" if mark else self.value())] + inner(False) + ["else:"] + inner(False)
        if kind == "for":
            return ["for i in range(2):"] + inner(mark) + (["    if %s: %s" % (self.value(), self.random.choice(["break", "continue"]))] if self.random.random() < 0.4 else [])
        if kind == "forelse":
            return ["for i in (%s, 1):" % self.value()] + inner(first) + ["else:"] + inner(second)
        if kind == "while":
            return ["w%d = 2" % n, "while w%d:" % n, "    w%d -= 1" % n] + inner(mark)
        if kind == "try":
            return ["try:"] + inner(mark) + ["    print(1 / %s)" % self.random.choice("01"), "except (TypeError, ZeroDivisionError) as e:"] + inner(False, True) + ["else:"] + inner(False)
        if kind == "handler":
            return ["try:", "    1 / 0", "except ZeroDivisionError as e:"] + inner(mark, True)
        if kind == "finally":
            return ["try:"] + inner(first, True) + ["finally:"] + inner(second)
        if kind == "all":
            return ["try:"] + inner(first) + ["    undefined", "except NameError:"] + inner(second) + ["else:"] + inner(False) + ["finally:"] + inner(False)
        if kind == "with":
            return ["with W(%d) as %s:" % (self.random.randrange(1, 3), self.random.choice(VARIABLES))] + inner(mark, True)
        if kind == "withs":
            return ["with W(1), W(2) as w:"] + inner(mark)
        if kind == "def":
            body = inner(False, True) if not mark else ["    print('inner', %s)" % self.random.choice(VARIABLES)]
            assigned = ["    %s = 5" % v for v in VARIABLES]
            return ["def h%d(y=%s):" % (n, self.value())] + assigned + body + (["print(h%d())" % n] if not mark else self.marked().split("\n"))
        if kind == "class":
            return ["class K%d:" % n, "    z = 1", "    def m(self):", "        return %d" % n] + (["    y = mark()"] if mark else []) + ["print(K%d().m())" % n]
        return ["match %s:" % self.random.choice(["1", "x", "[1, 2]"]), "    case [_, *c]:"] + ["    " + l for l in inner(False)] + ["    case _:"] + ["    " + l for l in inner(mark)]

    def body(self):
        """Statements at the outermost level, one of which contains the call."""
        count = self.random.randrange(2, 8)
        return self.block(0, count, True)

    def tweaked(self, line):
        """The line with another constant or variable somewhere."""
        words = list(re.finditer(r"\b(?:[abcdx]|\d+)\b", line))
        if not words:
            return line
        word = self.random.choice(words)
        other = self.random.choice(["7", "7.0", "True", "None", "a", "b", "x"])
        return line[: word.start()] + other + line[word.end() :]

    def edited(self, statements):
        """The statements with one to three edits, most of them behind the call."""
        out = [list(s) for s in statements]
        here = next(n for n, s in enumerate(out) if any("mark" in line for line in s))
        for _ in range(self.random.randrange(1, 4)):
            behind = self.random.random() < 0.85
            low, high = (here + 1, len(out)) if behind else (0, len(out))
            place = self.random.randrange(low, high + 1)
            kind = self.random.choice(["add", "add", "remove", "change", "leave", "comment", "tweak"])
            if kind == "add":
                out.insert(place, self.statement(1, False))
            elif kind == "comment":
                out.insert(self.random.randrange(len(out) + 1), ["# moved", ""])
            elif kind == "tweak":
                statement = self.random.choice(out)
                line = self.random.randrange(len(statement))
                statement[line] = self.tweaked(statement[line])
            elif kind == "leave" and behind:
                out.insert(place, [self.leave()])
            elif place < len(out) and place != here:
                out[place : place + 1] = [] if kind == "remove" else [self.statement(1, False)]
            here = next(n for n, s in enumerate(out) if any("mark" in line for line in s))
        return out


def function(statements):
    lines = [line for s in statements for line in s]
    text = "\n".join("    " + line if line else line for line in lines)
    return PRELUDE + "def f(a, b=(), *c, d=0, **x):\n%s\nprint('result', f([], 0, 5, d='d'))\nprint('end')\n" % text


def module(statements):
    return PRELUDE + "a, b, c, d, x = [], 0, 5, 'd', {}\n" + "\n".join(line for s in statements for line in s) + "\nprint('end')\n"


class Random(Case):
    def campaign(self, seeds, make, as_module):
        applied = 0
        for seed in seeds:
            writer = Writer(seed, as_module)
            statements = writer.body()
            old, new = make(statements), make(writer.edited(statements))
            try:
                compile(old, "old", "exec"), compile(new, "new", "exec")
            except SyntaxError:
                continue
            with self.subTest(seed=seed):
                try:
                    outcome = self.stage.resumed(old, new)
                except AssertionError as never:
                    if "never came" not in str(never):
                        raise
                    continue
                cold = self.stage.cold(new if outcome.applied else old)
                self.assertEqual(outcome.seen(), cold.seen(), "%s\n-----\n%s\n%s" % (old[len(PRELUDE) :], new[len(PRELUDE) :], outcome.edits))
                applied += outcome.applied
        return applied

    def test_functions(self):
        self.assertGreater(self.campaign(range(400 // PART), function, False), 120 // PART)

    def test_modules(self):
        self.assertGreater(self.campaign(range(10000, 10000 + 200 // PART), module, True), 40 // PART)


if __name__ == "__main__":
    unittest.main()
