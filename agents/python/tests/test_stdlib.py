"""Modules of the standard library do under traps what they do without."""
import importlib
import os
import sys
import unittest

from support import S, File, Stage, hook, loader, traps

# What json's own encoder takes for an indentation of two.
INDENT = 2 if sys.version_info < (3, 13) else "  "

SAMPLES = {
    "json": (["json", "json.decoder", "json.encoder", "json.scanner"], '''
import json.scanner, json.decoder, json.encoder
value = {"a": [1, 2.5, None, True, "\\u00e4\\n"], "b": {"c": []}}
for _ in range(3):
    print(json.dumps(value, indent=2, sort_keys=True), json.loads(json.dumps(value)) == value)
    print("".join(json.encoder._make_iterencode({}, repr, json.encoder.py_encode_basestring, INDENT, repr, ":", ",", True, False, False)(value, 0)))
decoder = json.JSONDecoder()
decoder.parse_string, decoder.scan_once = json.decoder.py_scanstring, json.scanner.py_make_scanner(decoder)
print(decoder.decode('{"x": [1, "\\\\u00e4", {"y": -1.5e3}]}'))
for bad in ('{"a" 1}', '[1,]', '"\\\\q"', ''):
    try:
        json.loads(bad)
    except json.JSONDecodeError as error:
        print(error, error.pos)
'''),
    "textwrap": (["textwrap"], '''
text = "The quick brown fox jumps over-the-lazy dog. " * 4
for width in (5, 10, 33):
    print(textwrap.fill(text, width, initial_indent="* ", subsequent_indent="  "))
    print(textwrap.shorten(text, width + 5, placeholder="..."))
print(textwrap.dedent("   a\\n     b\\n   c"), textwrap.indent("a\\nb\\n\\nc", "> "))
'''),
    "configparser": (["configparser"], '''
parser = configparser.ConfigParser()
parser.read_string("[DEFAULT]\\na = 1\\n[one]\\nb = %(a)s2\\nc: yes\\n  more\\n[two]\\n; comment\\nd = 4.5\\n")
for section in parser.sections():
    print(section, dict(parser[section]), list(parser.items(section, raw=True)))
print(parser.getint("one", "b"), parser.getfloat("two", "d"), parser.has_option("one", "zz"))
for bad in ("a = 1", "[x]\\n[x]\\n", "[x]\\ny\\nz"):
    try:
        configparser.ConfigParser().read_string(bad)
    except configparser.Error as error:
        print(type(error).__name__, error)
'''),
    "difflib": (["difflib"], '''
a, b = "one two three four five".split(), "one 2 three 4 five six".split()
print(list(difflib.unified_diff(a, b, "a", "b", lineterm="")), list(difflib.ndiff(a, b)), list(difflib.context_diff(a, b)))
print(difflib.SequenceMatcher(None, "abcdefgh", "abxdefzh").ratio(), difflib.get_close_matches("appel", ["ape", "apple", "peach"]))
print(list(difflib.restore(difflib.ndiff(a, b), 2)), len(difflib.HtmlDiff().make_table(a, b)))
'''),
    "statistics": (["statistics"], '''
data = [1.5, 2.5, 2.5, 2.75, 3.25, 4.75]
print(statistics.mean(data), statistics.median_grouped(data), statistics.multimode("aabbc"), statistics.quantiles(data, n=5))
print(statistics.stdev(data), statistics.pvariance(data), statistics.NormalDist(1, 2) + statistics.NormalDist(3, 4), statistics.fmean(data))
print(statistics.linear_regression(range(6), data), statistics.correlation(range(6), data), statistics.geometric_mean(data))
for call in (lambda: statistics.mean([]), lambda: statistics.mode([]), lambda: statistics.NormalDist(1, -1)):
    try:
        call()
    except statistics.StatisticsError as error:
        print(error)
'''),
    "ast": (["ast"], '''
import inspect
source = inspect.getsource(sys.modules["textwrap"]) if "textwrap" in sys.modules else "x = 1"
with open(ast.__file__) as file:
    source = file.read()
tree = ast.parse(source)
text = ast.unparse(tree)
print(text, ast.dump(ast.parse(text)) == ast.dump(ast.parse(ast.unparse(ast.parse(text)))), len(list(ast.walk(tree))))
print(ast.literal_eval("[1, (2.5, -3j), {'a': {None, True}}]"))
try:
    ast.literal_eval("f()")
except ValueError as error:
    print(str(error)[:20])
'''),
    "dataclasses": (["dataclasses"], '''
@dataclasses.dataclass(order=True)
class P:
    x: int
    y: list = dataclasses.field(default_factory=list, compare=False)
    z: dataclasses.InitVar[int] = 5
    def __post_init__(self, z):
        self.w = z
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Q:
    a: float = 1.5
    b: str = "b"
print(P(1), P(2, [3], 4) > P(1), dataclasses.asdict(P(1, [P(2)])), dataclasses.replace(Q(), a=2), hash(Q()) == hash(Q()), [f.name for f in dataclasses.fields(Q)])
try:
    Q().a = 3
except dataclasses.FrozenInstanceError as error:
    print(error)
print(dataclasses.make_dataclass("R", [("u", int), ("v", int, 3)])(1))
'''),
    "_pydecimal": (["_pydecimal"], '''
D = _pydecimal.Decimal
_pydecimal.getcontext().prec = 30
print(D(2).sqrt(), D("1.1") ** 7, D(1) / 3, D("123.456").quantize(D("0.01")), D(10).ln(), D(3).exp(), D("1e-5").normalize(), D("-0").is_signed())
print([str(D(n) / 7) for n in range(12)], f"{D('12345.678'):,.2f}", D("NaN").is_nan(), D(7) // 2, D(7) % -3, round(D("2.5")), hash(D("1.5")), D("5").to_eng_string())
for bad in ((lambda: D("x")), (lambda: D(1) / 0)):
    try:
        bad()
    except ArithmeticError as error:
        print(type(error).__name__, error)
'''),
}


class Library(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()

    @classmethod
    def tearDownClass(cls):
        cls.stage.close()

    def outcome(self, names, program, instrumented):
        """What the program prints with fresh copies of the modules."""
        import contextlib
        import io

        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name not in names:
                    return None
                spec = next(s for s in (f.find_spec(name, path, target) for f in sys.meta_path if f is not Finder) if s)
                spec.loader.get_code = code_of(spec.origin)
                return spec

        def code_of(path):
            def get_code(name):
                source = loader.read(path)
                plain = compile(source, path, "exec", dont_inherit=True)
                if not instrumented:
                    return plain
                code = traps.instrument(plain, path, source)
                S.files[path] = File(path, "", code, None, name)
                return code

            return get_code

        self.stage.settle()
        S.due = float("inf")
        hook.install()
        before = {name: sys.modules.pop(name, None) for name in names}
        sys.meta_path.insert(0, Finder)
        printed = io.StringIO()
        try:
            space = {"__name__": "sample", "sys": sys, "INDENT": INDENT, names[0]: importlib.import_module(names[0])}
            with contextlib.redirect_stdout(printed):
                exec(program, space)
        finally:
            sys.meta_path.remove(Finder)
            for name, module in before.items():
                sys.modules.pop(name, None)
                if module is not None:
                    sys.modules[name] = module
            S.inert = True
        return printed.getvalue(), len(S.pending)

    def test_samples(self):
        for name, (modules, program) in SAMPLES.items():
            with self.subTest(name):
                plain, none = self.outcome(modules, program, False)
                under, events = self.outcome(modules, program, True)
                self.assertEqual(under, plain)
                self.assertEqual(none, 0)
                self.assertGreater(events, 10)
                for file in S.files.values():
                    self.assertTrue(os.path.isabs(file.path))


if __name__ == "__main__":
    unittest.main()
