"""The little main script under which a user's interpreter starts, and the check that this interpreter can be served.

    python -I -S stub.py            prints {"version": […]} when resuming works here, else {"unsupported": why}
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# Whose frames and bytecode the agent knows.
SUPPORTED = ((3, 11), (3, 12), (3, 13), (3, 14))

SOURCE = """import sys
sys.path.insert(0, %(agents)r)
from thaw_agent import boot
del sys.path[0]
boot.main(sys._getframe(), %(directory)r)
"""


def stub(python, cache):
    """Path of the stub for an interpreter. Raises RuntimeError with the reason when it is not supported."""
    # Imports stand where they are needed: nearly every run only looks whether the stub is there.
    from _sha1 import sha1

    status = os.stat(python)
    agent = sha1()
    for name in sorted(os.listdir(HERE)):
        if name.endswith(".py"):
            with open(os.path.join(HERE, name), "rb") as file:
                agent.update(file.read())
    key = sha1(repr((os.path.realpath(python), status.st_mtime_ns, status.st_size, HERE, agent.hexdigest(), cache)).encode()).hexdigest()
    directory = "%s/stub/%s" % (cache, key)
    path = directory + "/__main__.pyc"
    if os.path.exists(path):
        return path
    import json
    import subprocess

    try:
        answer = subprocess.run([python, "-I", "-S", os.path.abspath(__file__)], capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        told = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise RuntimeError("the interpreter did not answer: %s" % error) from None
    if "unsupported" in told:
        raise RuntimeError(told["unsupported"])
    if told["version"][:2] != list(sys.version_info[:2]):
        # The stub's bytecode must be the interpreter's own: let it write the file.
        subprocess.run([python, "-I", "-S", os.path.abspath(__file__), directory], check=True, timeout=30, stdin=subprocess.DEVNULL)
    else:
        write(directory)
    return path


def write(directory):
    """Write the stub for the running interpreter."""
    import importlib.util
    import marshal

    os.makedirs(directory, 0o700, exist_ok=True)
    code = compile(SOURCE % {"agents": os.path.dirname(HERE), "directory": directory}, "<thaw>", "exec")
    data = importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)
    temporary = "%s/new-%d" % (directory, os.getpid())
    with open(temporary, "wb") as file:
        file.write(data)
    # A user's interpreter may be told to write no compiled files: it finds the agent's made already.
    import py_compile

    for name in sorted(os.listdir(HERE)):
        if name.endswith(".py"):
            try:
                py_compile.compile(os.path.join(HERE, name), quiet=2)
            except OSError:
                # Installed where its user may not write: it is compiled at each start then.
                break
    os.replace(temporary, directory + "/__main__.pyc")


def _compiles():
    """Whether the interpreter compiles code at run time unless it is told not to; from 3.14 on it says so itself."""
    if hasattr(sys, "_jit"):
        return sys._jit.is_enabled()
    import sysconfig

    return "_Py_TIER2" in (sysconfig.get_config_var("PY_CORE_CFLAGS") or "")


def check():
    """What this interpreter can do, tried out in a process of its own."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in SUPPORTED:
        return {"unsupported": "resuming needs CPython 3.11 to 3.14, this is %s %d.%d" % ((sys.implementation.name,) + sys.version_info[:2])}
    if sys.abiflags:
        return {"unsupported": "resuming needs a release build of CPython with its global lock, this one has ABI flags %s" % sys.abiflags}
    if _compiles():
        return {"unsupported": "resuming needs CPython without its experimental compiler"}
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return {"unsupported": "resuming needs Linux on x86_64"}
    sys.path.insert(0, os.path.dirname(HERE))
    try:
        from thaw_agent import selftest

        selftest.run()
    except (ImportError, RuntimeError, AssertionError, ValueError) as error:
        return {"unsupported": "self-test failed: %s" % error}
    return {"version": list(sys.version_info[:3])}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(sys.argv[1])
    else:
        import json

        print(json.dumps(check()))
