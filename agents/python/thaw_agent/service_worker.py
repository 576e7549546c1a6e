"""A process that serves calls: one at a time on each of its connections, so that no call is handed from thread to thread."""
import asyncio
import contextvars
import io
import json
import os
import signal
import sys
import threading
import time

from . import service_calls, service_debug
from .service_wire import Gone, Line

# Interrupts the main thread in whatever it waits for.
INTERRUPT = signal.SIGRTMIN + 6
PAGE = os.sysconf("SC_PAGE_SIZE")
# Output is sent in pieces of so many characters at the latest.
PIECE = 8192
# How often a thread that is being interrupted lets that happen. Milliseconds.
INTERRUPT_LOOKS = 200

running = contextvars.ContextVar("thaw_call", default=None)


class Cancelled(BaseException):
    """Raised in a call that nobody waits for any more."""


_statm = None


def resident():
    """Bytes of memory that this process has of its own or shares."""
    global _statm
    if _statm is None or _statm[0] != os.getpid():
        _statm = (os.getpid(), os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC))
    return int(os.pread(_statm[1], 64, 0).split()[1]) * PAGE


def forget_memory():
    """Before a copy: nothing of /proc may be open."""
    global _statm
    if _statm is not None:
        os.close(_statm[1])
        _statm = None


class Output(io.TextIOBase):
    """stdout or stderr: what a call prints goes with the call, all else to the service's log."""

    def __init__(self, name, below):
        self.name_of = name
        self.below = below

    encoding = "utf-8"
    errors = "replace"

    @property
    def buffer(self):
        return self.below.buffer

    @property
    def name(self):
        return self.below.name

    def writable(self):
        return True

    def fileno(self):
        return self.below.fileno()

    def isatty(self):
        return False

    def write(self, text):
        call = running.get()
        if call is None:
            self.below.write(text)
            self.below.flush()
        else:
            call.write(self.name_of, text)
        return len(text)

    def flush(self):
        call = running.get()
        if call is None:
            self.below.flush()
        else:
            call.flush()


class Call:
    def __init__(self, slot, number, request, fn, version):
        self.slot = slot
        self.number = number
        self.request = request
        self.fn = fn
        # Of the code that it began with.
        self.version = version
        # Who debugs it, from its first breakpoint on; and the same while at its prompt, where all that is printed goes then.
        self.debugger = None
        self.console = None
        self.cancelled = False
        # Whether it has learned of that.
        self.told = False
        self.future = None
        self.parts = []
        self.size = 0
        self.stream = "stdout"
        self.lock = threading.Lock()
        self.over = False

    def write(self, stream, text):
        if self.console is not None:
            return self.console.write(text)
        with self.lock:
            if stream != self.stream:
                self._send()
                self.stream = stream
            self.parts.append(text)
            self.size += len(text)
            if self.size >= PIECE or "\n" in text:
                self._send()

    def flush(self):
        if self.parts:
            with self.lock:
                self._send()

    def _send(self):
        if not self.parts or self.over:
            return
        body = "".join(self.parts).encode("utf-8", "replace")
        self.parts, self.size = [], 0
        slot = self.slot
        slot.sender = threading.get_ident()
        try:
            slot.line.send({"t": "out", "id": self.number, "stream": self.stream}, body)
        finally:
            slot.sender = None
        if slot.owed:
            slot.owed = False
            raise Cancelled


class Slot:
    """One connection, and the thread that serves it."""

    def __init__(self, worker, number):
        self.worker = worker
        self.number = number
        self.call = None
        self.lock = threading.Lock()
        self.thread = threading.get_ident()
        # Who is sending what a call prints. An interruption has to wait meanwhile, since half a frame would be the end of all.
        self.sender = None
        self.owed = False
        self.line = Line(worker.path, {"t": "hello", "role": "slot", "worker": worker.name, "slot": number, "pid": os.getpid()})

    def serve(self):
        while True:
            message, body = self.line.receive()
            do = message["do"]
            if do == "call":
                self.answer(message, body)
            elif do == "part":
                self.line.part()

    def answer(self, message, body):
        service = self.worker.service
        call = Call(self, message["id"], message["request"], message["fn"], service.version)
        self.owed = False
        token = running.set(call)
        before = resident()
        began = time.perf_counter()
        kind = content = error = None
        try:
            with self.lock:
                self.call = call
            try:
                kind, content = self.carry_out(service, call, message, body)
            except Cancelled:
                call.told = True
                raise
            finally:
                self.finish(call)
        except Cancelled:
            error = service_calls.ended("cancelled", "The call was cancelled.")
        except service_debug.Quit:
            error = service_calls.ended("quit", "Whoever debugged the call ended it.")
        except Gone:
            raise
        except BaseException as raised:
            error = service_calls.describe(raised, service.told)
        seconds = time.perf_counter() - began
        if call.debugger is not None:
            call.debugger.close()
        call.flush()
        running.reset(token)
        call.over = True
        told = {"id": call.number, "version": call.version, "seconds": seconds, "grown": resident() - before}
        if error is not None:
            self.line.send({"t": "error", "error": error, **told})
        else:
            self.line.send({"t": "result", "kind": kind, **told}, content)

    def carry_out(self, service, call, message, body):
        found = service.functions.get(message["fn"])
        if found is None:
            raise service_calls.Refused("unknown", "There is no %s; there are %s." % (message["fn"], ", ".join(sorted(service.functions)) or "none"))
        function, later = found
        args, kwargs = service_calls.arguments(message["kind"], body, service.pickle)
        try:
            if later:
                value = self.worker.later(call, function(*args, **kwargs))
            else:
                value = function(*args, **kwargs)
        except BaseException as error:
            why = service_calls.misfit(function, args, kwargs, error)
            if why is None:
                # The frame of this function is nobody's business.
                raise error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
            raise service_calls.Refused("arguments", "The arguments do not fit: %s." % why) from None
        return service_calls.encoded(value, message["kind"] == "pickle")

    def finish(self, call):
        """The call can no longer be interrupted; one that is being interrupted waits for that, so that it hits nothing else."""
        with self.lock:
            self.call = None
            coming = call.cancelled and not call.told and call.future is None and self.number != 0
        if coming:
            for _ in range(INTERRUPT_LOOKS):
                time.sleep(0.001)

    def interrupt(self, number):
        with self.lock:
            call = self.call
            if call is None or call.number != number or call.cancelled:
                return
            call.cancelled = True
            if call.future is not None:
                call.future.cancel()
            elif self.number == 0:
                signal.pthread_kill(self.thread, INTERRUPT)
            else:
                import ctypes

                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), ctypes.py_object(Cancelled))

    def on_signal(self, *_):
        if self.call is None or not self.call.cancelled:
            return
        if self.sender == self.thread:
            self.owed = True
        else:
            raise Cancelled


class Worker:
    def __init__(self, path, name, service, project):
        self.path = path
        self.name = name
        self.service = service
        self.project = project
        self.loop = None
        self.slots = {}
        self.line = None
        self.lock = threading.Lock()

    def run(self):
        # What the user's code prints while it loads belongs to the log; from here on calls have their own.
        sys.stdout = Output("stdout", sys.stdout)
        sys.stderr = Output("stderr", sys.stderr)
        sys.stdin = service_debug.Typed()
        line = self.line = Line(self.path, {"t": "hello", "role": "worker", "worker": self.name, "pid": os.getpid()})
        slot = self.slots[0] = Slot(self, 0)
        signal.signal(INTERRUPT, slot.on_signal)
        threading.Thread(target=self.control, args=(line,), name="thaw-control", daemon=True).start()
        try:
            slot.serve()
        except Gone:
            os._exit(0)

    def control(self, line):
        try:
            while True:
                message, body = line.receive()
                do = message["do"]
                if do == "slot":
                    threading.Thread(target=self.serve, args=(message["slot"],), name="thaw-slot-%d" % message["slot"], daemon=True).start()
                elif do == "cancel":
                    slot = self.slots.get(message["slot"])
                    if slot is not None:
                        slot.interrupt(message["id"])
                elif do == "patch":
                    line.send(service_calls.patch(self.project, self.service, json.loads(body), message))
                    service_debug.install(self.project)
                elif do == "ping":
                    line.send({"t": "pong"})
                elif do == "part":
                    forget_memory()
                    line.part()
        except Gone:
            os._exit(0)

    def serve(self, number):
        try:
            slot = self.slots[number] = Slot(self, number)
            slot.serve()
        except Gone:
            os._exit(0)

    def later(self, call, coroutine):
        """Wait for a coroutine on the one loop that all calls share."""
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                threading.Thread(target=self.loop.run_forever, name="thaw-loop", daemon=True).start()
        with call.slot.lock:
            call.future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return call.future.result()
        except asyncio.CancelledError:
            if call.cancelled:
                raise Cancelled from None
            raise
        except BaseException as error:
            if call.cancelled:
                raise Cancelled from None
            raise error
