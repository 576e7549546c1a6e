"""A copy of a call at its breakpoint, which goes on from there as often as wanted, each time with the code of then."""
import json
import os
import sys
import threading
import time

from . import service_calls
from .service_wire import Gone, Line


def unsafe(call, loop):
    """Why a copy of this process could not go on with the call, or None."""
    if loop is not None:
        return "coroutines share one event loop, which a copy cannot take along"
    worker = call.slot.worker
    if any(slot.call is not None and slot is not call.slot for slot in worker.slots.values()):
        return "other calls are under way in the same process, and a copy has only one thread"
    own = [one.name for one in threading.enumerate() if not one.name.startswith("thaw-") and one.ident != call.slot.thread and one is not threading.main_thread()]
    if own:
        return "a copy has only one thread, and there are others: %s" % ", ".join(sorted(own)[:5])
    more = len(os.listdir("/proc/self/task")) - threading.active_count()
    if more > 0:
        return "a copy has only one thread, and libraries have started %d more" % more
    return None


def leave(call, debugger, frame):
    """Forks a copy, which waits. Returns None here; in what goes on from the copy, what it goes on with."""
    pid = os.fork()
    if pid != 0:
        threading.Thread(target=wait_for, args=(pid,), name="thaw-copy", daemon=True).start()
        return None
    try:
        worker = call.slot.worker
        for line in [debugger.line, worker.line, *(slot.line for slot in worker.slots.values())]:
            line.close()
        return wait(call, worker)
    except Gone:
        os._exit(0)


def wait_for(pid):
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def wait(call, worker):
    line = Line(worker.path, {"t": "hello", "role": "copy", "call": call.number, "pid": os.getpid()})
    while True:
        message, body = line.receive()
        if message["do"] != "again":
            os._exit(0)
        try:
            # Those that went on from here before.
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        if os.fork() == 0:
            line.close()
            return Again(call, worker, message, body)


class Again:
    """The copy of the copy that goes on."""

    def __init__(self, call, worker, message, body):
        self.call, self.worker, self.message, self.files = call, worker, message, json.loads(body)

    def go_on(self, frame):
        call, worker, message = self.call, self.worker, self.message
        call.number, call.debugger = message["number"], None
        line = call.slot.line = Line(worker.path, {"t": "hello", "role": "again", "call": call.number, "pid": os.getpid()})
        worker.slots = {call.slot.number: call.slot}
        worker.line = line
        from . import service_reentry

        entry = service_reentry.Entry(worker.project, frame)
        answer = service_calls.patch(worker.project, worker.service, self.files, message)
        if answer["t"] == "refused":
            line.send({"t": "error", "error": answer["error"], "id": call.number, "version": worker.service.version, "seconds": 0.0, "grown": 0})
            os._exit(0)
        call.version = worker.service.version
        try:
            return entry.go_on()
        except service_reentry.Impossible as why:
            print("thaw: %s goes on as it was: %s." % (frame.f_code.co_qualname, why), file=sys.stderr)
            return None
