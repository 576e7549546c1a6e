"""pytest compiles test modules itself, with rewritten assertions: their code is instrumented where pytest executes it."""
import sys

from . import loader, observe, stops, traps
from .layout import hide, hide_module
from .state import S

TARGET = "_pytest.assertion.rewrite"
GLOBAL, BEGIN, END = "__thaw_instrument__", "__thaw_begin__", "__thaw_end__"


def instrument(code, path):
    """Called from pytest's own exec_module with the code it is about to execute."""
    path = str(path)
    if observe.loading:
        # What the module itself looks at from here on are its own inputs.
        observe.loading[-1] = None
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


def begin(module):
    """pytest is about to look for a module's compiled form, and to read its source where there is none."""
    path = getattr(module.__spec__, "origin", None)
    known = type(path) is str and not (S.inert or S.opaque) and loader.classify(path) == "project"
    observe.loading.append(path if known else None)


def end(module):
    """The module has come in; or its source did not compile, which its content decided."""
    path = observe.loading.pop()
    if path is not None and not S.inert:
        observe.saw_read(path)


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


def _adapt(module):
    """In exec_module, `exec(co, …)` becomes `exec(instrument(co, fn), …)`, and its beginning and its end are told: same lines,
    same names, no frame more."""
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
    method = next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "exec_module"), None)
    if done != 1 or method is None or [a.arg for a in method.args.args] != ["self", "module"]:
        return

    def told(name, beside):
        call = ast.Expr(ast.Call(ast.Name(name, ast.Load()), [ast.Name("module", ast.Load())], []))
        return ast.fix_missing_locations(ast.copy_location(call, beside))

    first_one, last_one = method.body[0], method.body[-1]
    whole = ast.Try([told(BEGIN, first_one), *method.body], [], [], [told(END, last_one)])
    method.body = [ast.copy_location(whole, first_one)]
    flags = function.__code__.co_flags & 0x1FE0000
    body = next(c for c in compile(tree, function.__code__.co_filename, "exec", flags, True).co_consts if type(c) is traps.CodeType)
    code = next(c for c in body.co_consts if type(c) is traps.CodeType and c.co_name == "exec_module")
    for name, function_of_ours in ((GLOBAL, instrument), (BEGIN, begin), (END, end)):
        setattr(module, name, function_of_ours)
    function.__code__ = code.replace(co_qualname=function.__code__.co_qualname)


class Watch:
    """Notices what modules are looked for, by whatever way, and that pytest's rewriting module comes in; finds nothing."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if S.inert:
            return None
        if not S.busy:
            observe.looked_for(name)
        if name != TARGET:
            return None
        for finder in sys.meta_path:
            if finder is not Watch and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    break
        else:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            S.busy += 1
            try:
                _adapt(module)
            except (OSError, SyntaxError, AttributeError, StopIteration) as error:
                S.event("opaque", "this version of pytest is not known: %s" % error)
                S.opaque = True
            finally:
                S.busy -= 1
            del spec.loader.exec_module

        hide(exec_module.__code__)
        spec.loader.exec_module = exec_module
        return spec


def install():
    sys.meta_path.insert(0, Watch)


hide(Watch.find_spec.__code__)
hide_module(globals())
