"""Calls that stop: `breakpoint()` in the code of a service, and who is attached to it from outside."""
import asyncio
import contextlib
import os
import sys
import threading

from . import service_copy, service_dap
from .service_wire import Line


class Quit(BaseException):
    """Raised in a call that whoever debugs it has ended."""


def install(project):
    """Stops are for those who attach from outside, where the program has no hook of its own. pdb is loaded only where a module of
    the project names it."""
    if sys.breakpointhook is sys.__breakpointhook__:
        sys.breakpointhook = hook
    if any(b"pdb" in unit.source for unit in project.units.values()):
        import pdb

        pdb.set_trace = set_trace


def hook(*args, **named):
    if os.environ.get("PYTHONBREAKPOINT"):
        return sys.__breakpointhook__(*args, **named)
    return stop(sys._getframe(1))


def set_trace(*_, **__):
    stop(sys._getframe(1))


def stop(frame):
    from .service_worker import running

    call = running.get()
    if call is None or call.console is not None:
        why = "no call is under way here" if call is None else "the debugger is at its prompt"
        print("thaw: breakpoint() at %s:%d was passed over: %s." % (frame.f_code.co_filename, frame.f_lineno, why), file=sys.stderr)
        return None
    if service_dap.is_attached():
        return service_dap.stop(frame)
    if call.debugger is not None and call.debugger.wants_dap:
        print("thaw: breakpoint() at %s:%d was passed over: the editor has left." % (frame.f_code.co_filename, frame.f_lineno), file=sys.stderr)
        return None
    if call.debugger is None:
        call.debugger = Debugger(call)
    return call.debugger.halt(frame)


class Typed:
    """stdin: what is typed at the prompt of a debugger, which the call that stands there reads."""

    encoding = "utf-8"

    def readline(self, size=-1):
        from .service_worker import running

        call = running.get()
        return "" if call is None or call.console is None else call.console.readline()

    def read(self, size=-1):
        return ""

    def isatty(self):
        return False

    def close(self):
        pass


class Debugger:
    """Of one call, from its first breakpoint to its end."""

    def __init__(self, call):
        self.call = call
        worker = call.slot.worker
        self.line = Line(worker.path, {"t": "hello", "role": "debug", "call": call.number, "pid": os.getpid()})
        self.thread = threading.get_ident()
        self.loop = running_loop()
        self.attached = False
        # The wait is over, and nobody came.
        self.released = False
        self.wants_dap = False
        self.typed = bytearray()
        self.ended = False
        self.pdb = None

    def halt(self, frame):
        """The call stands here until it is told to go on. Returns what `breakpoint()` is to return."""
        call = self.call
        call.flush()
        why = service_copy.unsafe(call, self.loop)
        copied = None if why is not None else service_copy.leave(call, self, frame)
        if copied is not None:
            return copied.go_on(frame)
        self.released = False
        self.tell(frame, why)
        while not (self.attached or self.released or self.wants_dap):
            self.next()
            if self.wants_dap and not service_dap.serve(self, frame):
                self.wants_dap = False
        if not self.wants_dap and not self.released:
            if self.pdb is None:
                from .service_pdb import Pdb

                self.pdb = Pdb(self)
            self.pdb.begin(frame)
        self.line.send({"t": "went"})
        if self.pdb is not None:
            self.pdb.trace_on()
        return None

    def tell(self, frame, why):
        code = frame.f_code
        self.line.send({
            "t": "stop", "fn": self.call.fn, "file": code.co_filename, "line": frame.f_lineno, "function": code.co_qualname, "uncopied": why,
        })

    @contextlib.contextmanager
    def prompting(self, frame):
        """All that the call prints meanwhile is for whoever is attached."""
        self.call.flush()
        if not self.attached:
            self.tell(frame, "it is debugged already")
        self.call.console = self
        try:
            yield
        finally:
            self.call.console = None
            if self.ended and self.attached and not self.typed:
                self.leave()
            self.line.send({"t": "went"})

    def leave(self):
        self.attached = False
        self.line.send({"t": "detached"})

    def write(self, text):
        self.line.send({"t": "print"}, text.encode("utf-8", "replace"))

    def readline(self):
        """The next line that was typed. Whoever has nothing more to type is detached, and the call waits for another."""
        while b"\n" not in self.typed:
            if self.released:
                return "continue\n"
            if self.ended and self.typed:
                self.typed += b"\n"
            elif self.ended and self.attached:
                self.leave()
            else:
                self.next()
        text, _, rest = bytes(self.typed).partition(b"\n")
        self.typed = bytearray(rest)
        return text.decode("utf-8", "replace") + "\n"

    def next(self):
        message, body = self.receive()
        do = message["do"]
        if do == "attach":
            self.attached, self.ended, self.released = True, False, False
            self.typed.clear()
            if self.call.console is not None:
                self.pdb.show_again()
        elif do == "stdin":
            self.typed += body
        elif do == "eof":
            self.ended = True
        elif do == "detach":
            self.attached, self.ended = False, True
            self.typed.clear()
        elif do == "go":
            self.released, self.attached = True, False
        elif do == "dap" and self.pdb is None:
            self.wants_dap = True
        elif do == "dap":
            self.line.send({"t": "refused", "message": "pdb is at work in this call already"})

    def receive(self):
        if self.loop is None:
            return self.line.receive()
        return beside(self.loop, self.line.receive)

    def close(self):
        """The call has ended."""
        if self.pdb is not None:
            if self.loop is None:
                sys.settrace(None)
            else:
                self.loop.call_soon_threadsafe(sys.settrace, None)
        self.line.finish()


def running_loop():
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def beside(loop, function):
    """Waits for a function in a thread of its own, while the loop that this thread runs serves its other tasks."""
    task = asyncio.current_task(loop)
    # Those that the loop has counted and not run yet: it looks for as many when this returns.
    counted = len(loop._ready)
    done = loop.run_in_executor(None, function)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    try:
        while not done.done():
            loop._run_once()
    finally:
        if task is not None:
            asyncio.tasks._enter_task(loop, task)
        for _ in range(counted):
            loop.call_soon(nothing)
    return done.result()


def nothing():
    pass
