"""A service's processes. The root only waits, so that the tree has one process that stays. Below it is the keeper, which has loaded
the user's code and then does nothing but fork workers: it is the checkpoint right after loading. Copies of it that parked between
two statements of the loading wait beside it, for edits at module level.

    python service_host.py        with THAW_SERVICE in the environment
"""
import builtins
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback

if __name__ == "__main__":
    # As a package, whatever directory the script lies in, and not in front of the user's modules.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from thaw_agent import service_calls, service_code, service_debug, service_wire, service_worker

# A parked copy is worth its cost when so much work lies between it and the one before. Seconds, and multiples of its cost.
GAP, FACTOR = 0.02, 10
MOST_PARKED = 12


class Keeper:
    def __init__(self, setting):
        self.setting = setting
        self.path = setting["socket"]
        self.line = None
        self.target = None
        self.service = None
        self.project = None
        self.parked = 0
        # Files whose code is another than when their loading began.
        self.replaced = []
        self.since = 0.0
        self.gap = self.least = GAP

    def begin(self):
        self.line = service_wire.Line(self.path, {"t": "hello", "role": "keeper", "pid": os.getpid()})
        self.load()

    def load(self):
        setting = self.setting
        file = setting["file"]
        self.project = service_code.Project(setting["root"], self.park if setting["park"] else lambda: None)
        began = time.monotonic()
        self.since = began - self.gap
        service_debug.install(self.project)
        try:
            module = self.project.load(file)
            for path in self.replaced:
                self.project.renumber(path)
            self.service = service_calls.Service(module, setting)
        except BaseException as error:
            self.line.send({"t": "failed", "error": service_calls.describe(error)})
            os._exit(1)
        service_debug.install(self.project)
        gc.collect()
        gc.freeze()
        self.ready("loaded", time.monotonic() - began)
        self.serve()

    def ready(self, kind, seconds):
        self.line.send({
            "t": kind, "pid": os.getpid(), "callables": self.service.listed(), "files": self.project.files(), "seconds": seconds,
            "threads": threading.active_count(), "bytes": service_worker.resident(),
        })

    def serve(self):
        while True:
            message, body = self.line.receive()
            do = message["do"]
            if do == "fork":
                pid = self.clone()
                if pid == 0:
                    self.line.close()
                    self.service.version = message["version"]
                    service_worker.Worker(self.path, message["worker"], self.service, self.project).run()
                    os._exit(0)
                self.line.send({"t": "forked", "worker": message["worker"], "pid": pid})
            elif do == "kill":
                kill(message["pid"])
            elif do == "reap":
                self.line.send({"t": "reaped", "pid": message["pid"], **reap(message["pid"])})
            elif do == "patch":
                self.line.send(service_calls.patch(self.project, self.service, json.loads(body), message))
                service_debug.install(self.project)
            elif do == "plan":
                try:
                    sources = service_calls.as_bytes(json.loads(body))
                    self.line.send({"t": "planned", "first": self.project.first_changes(sources)})
                except service_code.CodeError as error:
                    self.line.send(service_calls.refusal(error))
            elif do == "part":
                self.line.part()

    def clone(self):
        sys.stdout.flush()
        sys.stderr.flush()
        return os.fork()

    def park(self):
        """Between two statements of the loading: leave a copy here, where enough has been done since the last one."""
        now = time.monotonic()
        if now - self.since < self.gap or threading.active_count() > 1:
            return
        # Not what the clock says: on a busy machine that is other programs' time.
        began = time.thread_time()
        pid = self.clone()
        if pid != 0:
            self.parked += 1
            cost = time.thread_time() - began
            if self.parked >= MOST_PARKED:
                self.least *= 2
            self.gap = max(self.least, FACTOR * cost)
            self.since = time.monotonic()
            return
        self.line.close()
        hello = {"t": "hello", "role": "parked", "pid": os.getpid(), "number": self.parked, "progress": self.project.progress()}
        self.line = service_wire.Line(self.path, hello)
        while True:
            message, body = self.line.receive()
            if message["do"] == "part":
                self.line.part()
            elif message["do"] == "wake":
                break
        # From here on this process is the keeper, and its loading goes on with other code.
        self.parked += 1
        self.since = time.monotonic()
        for path, source in service_calls.as_bytes(json.loads(body)).items():
            unit = self.project.units.get(path)
            if unit is not None:
                unit.replace(source)
                self.replaced.append(path)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def reap(pid):
    """How a worker has ended; its connections are closed already."""
    for _ in range(400):
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return {"code": None, "signal": None}
        if found:
            code = os.waitstatus_to_exitcode(status)
            return {"code": code if code >= 0 else None, "signal": signal.Signals(-code).name if code < 0 else None}
        time.sleep(0.005)
    return {"code": None, "signal": None}


def main():
    setting = json.loads(os.environ.pop("THAW_SERVICE"))
    package = sys.path.pop(0)
    # `import thaw` finds the client even where it is not installed.
    sys.path.append(package)
    sys.argv = [setting["file"]]
    # The client in the user's own file is not to call this very service (thaw/functions.py).
    builtins.__thaw_service__ = True
    pid = os.fork()
    if pid == 0:
        try:
            Keeper(setting).begin()
        except service_wire.Gone:
            os._exit(0)
        except BaseException:
            # A fault of this program's own, in the keeper or a worker, which shows in the service's log.
            traceback.print_exc(file=sys.__stderr__)
            sys.__stderr__.flush()
        os._exit(1)
    watch(pid)


def watch(keeper):
    """The root: collects what is left to it, and ends everything when the daemon is gone."""
    try:
        import ctypes

        PR_SET_CHILD_SUBREAPER = 36
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except Exception:
        pass
    threading.Thread(target=await_end, daemon=True).start()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def await_end():
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
