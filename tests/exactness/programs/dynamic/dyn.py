import importlib
import json
import sys
import types
import zipfile
from pathlib import Path

import hooks
import util

OUT = Path("gen")


def spare():
    import nowhere

    return nowhere


def generate(factor):
    OUT.mkdir(exist_ok=True)
    source = "\n".join(f"def times{n}(x):\n    return x * {n * factor}\n" for n in range(3))
    (OUT / "made.py").write_text(source)
    sys.path.insert(0, str(OUT))
    importlib.invalidate_caches()
    import made

    return made


def zipped():
    with zipfile.ZipFile(OUT / "lib.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("inzip.py"), f"VALUE = {util.work(30_000)}\ndef get():\n    return VALUE\n")
    sys.path.insert(0, str(OUT / "lib.zip"))
    importlib.invalidate_caches()
    return importlib.import_module("inzip").get()


def executed(names):
    namespace = {"work": util.work, "__name__": "executed"}
    for name in names:
        exec(compile(f"def {name}(n):\n    return work(n) + len('{name}')", f"<{name}>", "exec"), namespace)
    return [namespace[name](2000) for name in names]


def prepare(state):
    state["made"] = generate(state["factor"])
    return state["made"].times2(7)


def finish(state):
    import reloaded

    first = reloaded.COUNT
    reloaded.COUNT = 50
    again = importlib.reload(reloaded)
    return first, again.COUNT, again is reloaded


def run(step, state):
    module, _, name = step.rpartition(".")
    function = getattr(importlib.import_module("confs." + module), name) if module else globals()[name]
    return function(state)


def main():
    hooks.install()
    plan = json.loads(Path("plan.json").read_text())
    state = {"factor": plan["factor"]}
    for step in plan["steps"]:
        print(step, run(step, state))
    print(zipped(), executed(["alpha", "beta"]))
    import rules_conf

    print(sorted(vars(rules_conf).items() - {"x": 1}.items(), key=str)[:3] if False else rules_conf.limit, rules_conf.name)
    try:
        import missing_conf
    except ImportError as error:
        print(type(error).__name__, error)
    from space import one, two

    print(one.NAME, two.NAME, len(list(sys.modules["space"].__path__)))
    module = types.ModuleType("loose", "made by hand")
    exec("A = 1\nB = [A + n for n in range(3)]", vars(module))
    print(module.B, module.__doc__)
    print(util.work(50_000))


if __name__ == "__main__":
    main()
