"""pytest compiles test modules itself, with rewritten assertions: their code is instrumented where pytest executes it."""
import sys

from . import loader, observe, stops, traps
from .layout import hide, hide_module
from .state import S

TARGET = "_pytest.assertion.rewrite"
GLOBAL = "__thaw_instrument__"


def instrument(code, path):
    """Called from pytest's own exec_module with the code it is about to execute."""
    path = str(path)
    if S.inert or S.opaque or loader.classify(path) != "project":
        return code
    S.busy += 1
    try:
        source = loader.read(path)
        digest = loader.digest_of(source)
        made = traps.instrument(code, path, source, stops.lines_of(path) if S.stops else {})
        loader._write(loader.source_path(S.config["cache"], digest), source)
        loader.register(path, digest, made, path, _rewrite)
        return made
    finally:
        S.busy -= 1


def _rewrite(path):
    """pytest's code for a file as it is now."""
    from pathlib import Path

    module = sys.modules[TARGET]
    hook = next(h for h in sys.meta_path if isinstance(h, module.AssertionRewritingHook))
    S.busy += 1
    try:
        return module._rewrite_test(Path(path), hook.config)[1]
    finally:
        S.busy -= 1


def _quiet(module, name):
    """What a function of pytest's looks at to compile a test module is no input: the code is, unit by unit. Where there is
    none because the source does not compile, the source is."""
    original = getattr(module, name)

    def called(path, *rest):
        if loader.classify(str(path)) != "project":
            # A plug-in that is installed: its file is an input as a whole.
            return original(path, *rest)
        S.busy += 1
        try:
            return original(path, *rest)
        except BaseException:
            if not S.inert:
                S.event("read", str(path), observe.signature(str(path)))
            raise
        finally:
            S.busy -= 1

    called.__name__ = called.__qualname__ = name
    called.__module__ = module.__name__
    hide(called.__code__)
    setattr(module, name, called)


def adapt(module):
    """In exec_module, `exec(co, …)` becomes `exec(instrument(co, fn), …)`: same lines, same names, no frame more."""
    try:
        _adapt(module)
    except (OSError, SyntaxError, AttributeError, StopIteration) as error:
        S.event("opaque", "this version of pytest is not known: %s" % error)
        S.opaque = True


def _adapt(module):
    import ast
    import inspect

    function = module.AssertionRewritingHook.exec_module
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse("class _:\n" + "".join(lines))
    ast.increment_lineno(tree, first - 2)
    done = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exec" and isinstance(node.args[0], ast.Name):
            call = ast.Call(ast.Name(GLOBAL, ast.Load()), [node.args[0], ast.Name("fn", ast.Load())], [])
            node.args[0] = ast.fix_missing_locations(ast.copy_location(call, node.args[0]))
            done += 1
    if done != 1:
        return
    flags = function.__code__.co_flags & 0x1FE0000
    body = next(c for c in compile(tree, function.__code__.co_filename, "exec", flags, True).co_consts if type(c) is traps.CodeType)
    code = next(c for c in body.co_consts if type(c) is traps.CodeType and c.co_name == "exec_module")
    setattr(module, GLOBAL, instrument)
    for name in ("_read_pyc", "_rewrite_test"):
        _quiet(module, name)
    function.__code__ = code.replace(co_qualname=function.__code__.co_qualname)


hide_module(globals())
