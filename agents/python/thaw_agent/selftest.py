"""Whether this interpreter is laid out as the agent expects: traps, hidden frames and exchanged code, tried out once in a
throw-away process before any user program is started under the agent."""
import builtins
import sys

from . import fork, layout, traps

OLD = "def f(a):\n    b = a + 1\n    return b\nx = [f(1), f(1), f(1)]\n"
NEW = "def f(a):\n    b = a + 100\n    c = b + 1\n    return c\nx = [f(1), f(1), f(1)]\n"


def run():
    """Raises AssertionError or RuntimeError."""
    layout.verify()
    fired = []
    edited = {}

    def hook(trap):
        frame = sys._getframe(1)
        code = frame.f_code
        fired.append((trap[traps.UNIT], frame.f_back.f_code.co_name))
        if id(code) in edited:
            code = edited[id(code)]
            trap = traps.trap_of(code)
            layout.enter(frame, code, trap[traps.LANDING])
        if trap[traps.KIND] != traps.TWICE or len(fired) > 2:
            layout.write_code(code, trap[traps.OFFSET], trap[traps.ORIGINAL])

    layout.hide(hook.__code__)
    setattr(builtins, traps.HOOK, hook)
    old = traps.instrument(compile(OLD, "old", "exec"), "old")
    space = {}
    exec(old, space)
    assert space["x"] == [2, 2, 2], "traps change what a program computes"
    assert [f[0] for f in fired] == ["<module>", "f#0", "f#0"], "traps do not fire as they should"
    fired.clear()
    old = traps.instrument(compile(OLD, "old", "exec"), "old")
    new = traps.instrument(compile(NEW, "new", "exec"), "new")
    edited[id(traps.units_of(old)["f#0"])] = traps.units_of(new)["f#0"]
    space = {}
    exec(old, space)
    assert space["x"] == [102, 102, 102], "edited code does not take the place of the old"
    delattr(builtins, traps.HOOK)

    def fail():
        raise KeyError

    layout.hide(fail.__code__)
    try:
        fail()
    except KeyError as error:
        assert error.__traceback__.tb_next is None, "frames of the agent show"
    assert fork._tid
