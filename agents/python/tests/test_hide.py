"""Nobody who looks at the stack finds the agent."""
import os
import subprocess
import sys
import unittest

from support import FILE, MARK, Case, S, hook, layout, traps

LOOKERS = {
    "sys._getframe": "out = []\n    frame = sys._getframe(0)\n    while frame: out.append(frame.f_code.co_filename); frame = frame.f_back\n    return out",
    "by depth": "out = []\n    for n in range(100):\n        try: out.append(sys._getframe(n).f_code.co_filename)\n        except ValueError: break\n    return out",
    "inspect.stack": "import inspect\n    return [f.filename for f in inspect.stack(0)]",
    "inspect.currentframe": "import inspect\n    return [f.filename for f in inspect.getouterframes(inspect.currentframe(), 0)]",
    "traceback.print_stack": "import io, traceback\n    text = io.StringIO()\n    traceback.print_stack(file=text)\n    return [l.split('\"')[1] for l in text.getvalue().splitlines() if 'File' in l]",
    "traceback.extract_stack": "import traceback\n    return [f.filename for f in traceback.extract_stack()]",
    "traceback.walk_stack": "import traceback\n    return [f.f_code.co_filename for f, _ in traceback.walk_stack(None)]",
    "sys._current_frames": "import threading\n    out = []\n    frame = sys._current_frames()[threading.get_ident()]\n    while frame: out.append(frame.f_code.co_filename); frame = frame.f_back\n    return out",
    "exception": "try: 1 / 0\n    except ZeroDivisionError as e: frame = e.__traceback__.tb_frame\n    out = []\n    while frame: out.append(frame.f_code.co_filename); frame = frame.f_back\n    return out",
    "tracemalloc": "import tracemalloc\n    tracemalloc.start(50)\n    x = bytearray(5000)\n    out = [f.filename for f in tracemalloc.get_object_traceback(x)]\n    tracemalloc.stop()\n    return out",
    "logging": "import logging\n    r = []\n    h = logging.Handler()\n    h.emit = lambda record: r.append((record.pathname, record.lineno, record.funcName))\n    l = logging.Logger('x')\n    l.addHandler(h)\n    l.warning('a', stack_info=True)\n    l.warning('b', stacklevel=2)\n    return r",
    "warnings": "import warnings\n    with warnings.catch_warnings(record=True) as w:\n        warnings.simplefilter('always')\n        for n in range(1, 8): warnings.warn('x', stacklevel=n)\n    return [(x.filename, x.lineno) for x in w]",
    "locals of the caller": "return [sorted(sys._getframe(1).f_locals), sorted(sys._getframe(1).f_globals) == sorted(globals())]",
}
WAYS = {
    "plain": "print(look())",
    "from c": "print(list(map(lambda _: look(), [1])))",
    "in a class": "class K:\n    x = look()\nprint(K.x)",
    "generator": "def g():\n    yield look()\nprint(list(g()))",
    "while a checkpoint is taken": "class D:\n    def __del__(self):\n        print(look())\ndef other(): pass\nother()\nprint(look())",
}


class Looking(Case):
    def test_every_way_to_look(self):
        for name, body in LOOKERS.items():
            for way, code in WAYS.items():
                with self.subTest(name, way=way):
                    source = "import sys\ndef look(*_):\n    %s\ndef a():\n    return look()\n%s\nprint(a(), a(), a())\n" % (body, code)
                    under, cold = self.stage.under(source), self.stage.cold(source)
                    self.assertEqual(under.seen(), cold.seen())
                    self.assertIsNone(under.error)
                    self.assertNotIn("thaw_agent", under.printed)

    def test_code_of_the_program_that_runs_inside_the_agent(self):
        """A finalizer that runs while a trap is being served sees its own program only."""
        looked = []

        class Token:
            def __del__(self):
                frame = sys._getframe(1)
                while frame:
                    looked.append(frame.f_code.co_filename)
                    frame = frame.f_back

        original = S.event

        @layout.hidden
        def event(*args):
            token = Token()
            del token
            original(*args)

        S.event = event
        try:
            self.stage.under("def f():\n    return 1\nf()\nf()\n")
        finally:
            del S.event
        self.assertIn(FILE, looked)
        self.assertEqual([file for file in looked if "thaw_agent" in file], [])

    def test_tracebacks(self):
        source = MARK + "def f(x):\n    mark()\n    return 1 / x\ndef g():\n    return f(0)\ntry:\n    g()\nexcept ZeroDivisionError:\n    import traceback\n    text = traceback.format_exc()\n    print(text)\ng()\n"
        under = self.stage.under(source)
        self.assertEqual(under.seen(), self.stage.cold(source).seen())
        self.assertNotIn("thaw", under.printed)

    def test_everything_that_runs_in_a_program_is_hidden(self):
        """Each function of the agent's, methods, wrappers and lambdas included."""
        script = (
            "import sys; sys.path.insert(0, '..')\n"
            "from thaw_agent import boot, bytecode, classes, descriptors, fork, hook, journal, layout, loader, observe, patch, paths, pytest_support, queries, state, traps, wire\n"
            "import ctypes, types\n"
            "at = layout.CODE + layout.FIRST_TRACEABLE\n"
            "def shown(code):\n    yield from [code] if ctypes.c_int.from_address(id(code) + at).value < 1 << 20 else []\n"
            "    for c in code.co_consts:\n        if type(c) is types.CodeType: yield from shown(c)\n"
            "for m in (boot, bytecode, classes, traps, descriptors, fork, hook, journal, loader, observe, patch, paths, pytest_support, queries, state, wire):\n"
            "    things = list(vars(m).values())\n"
            "    for t in list(things):\n"
            "        if isinstance(t, type) and t.__module__ == m.__name__: things += [getattr(v, '__func__', getattr(v, 'fget', v)) for v in vars(t).values()]\n"
            "        if isinstance(t, dict): things += list(t.values())\n"
            "    for t in things:\n"
            "        if isinstance(t, types.FunctionType) and t.__code__.co_filename.endswith(m.__name__.split('.')[1] + '.py'):\n"
            "            for code in shown(t.__code__): print(m.__name__, code.co_qualname)\n"
        )
        done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual((done.stdout, done.stderr), ("", ""))

    def test_hidden_functions_raise_as_if_they_were_not_there(self):
        @layout.hidden
        def wrapper(f, *args):
            return f(*args)

        def inner(n):
            if n:
                return wrapper(inner, n - 1)
            raise KeyError("deep")

        try:
            wrapper(inner, 3)
        except KeyError as error:
            tb, names = error.__traceback__, []
            while tb:
                names.append(tb.tb_frame.f_code.co_name)
                tb = tb.tb_next
        self.assertEqual(names, ["test_hidden_functions_raise_as_if_they_were_not_there"] + ["inner"] * 4)

        @layout.hidden
        def fails():
            raise OSError(2, "from the agent itself")

        try:
            fails()
        except OSError as error:
            self.assertIsNone(error.__traceback__.tb_next)

    def test_faulthandler(self):
        """The interpreter's own dump of a stack, which asks nobody."""
        script = (
            "import sys; sys.path.insert(0, '.')\nimport support, faulthandler\nstage = support.Stage()\n"
            "stage.under('import faulthandler\\ndef f():\\n    faulthandler.dump_traceback(sys.__stderr__)\\nimport sys\\nf()\\n')\nstage.close()\n"
        )
        done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual(done.returncode, 0)
        self.assertIn("program.py", done.stderr)
        self.assertNotIn("thaw_agent", done.stderr)

    def test_signal_handlers_that_run_inside_the_agent(self):
        """A handler that raises while a trap is being served: the exception comes out where the program stands."""
        source = (
            "import signal, os\ndef on(s, f):\n    raise KeyError(f.f_code.co_name, f.f_lineno)\nsignal.signal(signal.SIGUSR1, on)\n"
            "def f():\n    return 1\n%s\n"
        )
        sent = []

        def thaw(trap):
            if trap[traps.UNIT] == "f#0" and not sent:
                sent.append(True)
                os.kill(os.getpid(), 10)
            inner(trap)

        inner = hook.thaw
        layout.hide(thaw.__code__)
        hook.thaw = thaw
        try:
            under = self.stage.under(source % "try:\n    f()\nexcept KeyError as e:\n    print(e.args)\nprint(f())")
        finally:
            hook.thaw = inner
        self.assertIsNone(under.error)
        self.assertEqual(under.printed, "('f', 6)\n1\n")


if __name__ == "__main__":
    unittest.main()
