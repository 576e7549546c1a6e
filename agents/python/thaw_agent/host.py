"""The host: parent, reaper and undertaker of every process of a run.

Speaks JSON lines with the daemon (docs/agent-protocol.md, "Host"): requests on
stdin, answers and notices on stdout. It is a subreaper, so nothing that a
program starts can leave its tree; and when its stdin ends - the daemon closed
it, or is dead - it kills that whole tree and exits.

Runs as ``python -I -S host.py`` on any CPython from 3.8 on. Only the requests
about code (check, diff, remap, stub) need the run's own interpreter.
"""
import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def _errno_name(number):
    return errno.errorcode.get(number, str(number))


# --- /proc ---------------------------------------------------------------

def _parent_of(pid):
    """Parent's pid, or None when the process is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            stat = f.read()
    except OSError:
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    return int(stat[stat.rindex(b")") + 2:].split()[1])


def _processes():
    """Map of every visible pid to its parent's pid."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            parent = _parent_of(int(name))
            if parent is not None:
                table[int(name)] = parent
    return table


def _descendants(roots, table=None):
    """Pids below the given ones, parents before children; zombies included."""
    children = {}
    for pid, parent in (table or _processes()).items():
        children.setdefault(parent, []).append(pid)
    found, queue = [], list(roots)
    while queue:
        below = children.get(queue.pop(), ())
        found.extend(below)
        queue.extend(below)
    return found


def _group_of(pid):
    """Process group, or None when the process is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _is_group(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_zombie(pid):
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            stat = f.read()
    except OSError:
        return True
    return stat[stat.rindex(b")") + 2:].split()[0] in (b"Z", b"X")


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _pss(pid):
    """Proportional set size in bytes, None when the process is gone."""
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as f:
            for line in f:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class Refusal(Exception):
    """An answer with ok false; carries its fields."""

    def __init__(self, error, message="", **more):
        Exception.__init__(self, message)
        self.answer = dict(more, error=error, message=message)


# --- the host ----------------------------------------------------------------

class Host:
    def __init__(self):
        self.pid = os.getpid()
        self.cache = None
        self.terminals = {}
        # Process groups of what programs left running when they had ended.
        self.released = set()
        self.poll = select.poll()
        self.watch = {}
        self.rest = b""
        self.ending = False

    def run(self):
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT,
                       signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        # Whatever the daemon's starter left open is no business of programs.
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2:
                try:
                    os.close(int(name))
                except OSError:
                    pass
        wake_read, wake_write = os.pipe()
        for fd in (wake_read, wake_write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGTERM, self.on_term)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        # The program must never inherit the line to the daemon.
        self.requests = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
        self.answers = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        self.add(self.requests, select.POLLIN, self.on_request)
        # A daemon that closed only its reading end is gone as well.
        self.add(self.answers, 0, lambda events: self.end())
        self.add(wake_read, select.POLLIN, lambda events: self.on_child(wake_read))
        while not self.ending:
            for fd, events in self.poll.poll():
                callback = self.watch.get(fd)
                if callback is not None:
                    callback(events)
        self.kill_everything()

    def on_term(self, *_):
        self.ending = True

    def add(self, fd, events, callback):
        self.watch[fd] = callback
        self.poll.register(fd, events)

    def drop(self, fd):
        if self.watch.pop(fd, None) is not None:
            self.poll.unregister(fd)

    def end(self):
        self.ending = True

    def send(self, message):
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.answers, data):]
        except OSError:
            self.end()

    def on_child(self, wake):
        try:
            while len(os.read(wake, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        self.reap()
        # The number of an empty group may come back as that of a process of ours.
        self.released = {group for group in self.released if _is_group(group)}

    def reap(self):
        """Reports every child that ended. True when none is left at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if self.ending:
                continue
            if os.WIFSIGNALED(status):
                number = os.WTERMSIG(status)
                try:
                    name = signal.Signals(number).name
                except ValueError:
                    name = "SIG%d" % number
                self.send({"event": "exit", "pid": pid, "code": None, "signal": name})
            else:
                self.send({"event": "exit", "pid": pid,
                           "code": os.WEXITSTATUS(status), "signal": None})

    def kill_everything(self):
        """All but the released. Whoever forks while being killed is found next round."""
        self.ending = True
        while not self.reap():
            pids = self.bound()
            if not pids:
                return
            for pid in pids:
                _kill(pid, signal.SIGKILL)
            select.select([], [], [], 0.001)

    def bound(self, keep=()):
        """Descendants that end with this host, without those in `keep` and what is below them."""
        table = _processes()
        pids = _descendants([self.pid], table)
        kept, loose = set(keep), set()
        for pid in pids if kept or self.released else ():
            if table[pid] in kept:
                kept.add(pid)
            elif pid not in kept:
                group = _group_of(pid)
                if group in self.released:
                    loose.add(pid)
                elif table[pid] in loose:
                    loose.add(pid)
                    # It may outlive its parent, and must be known then.
                    if group is not None:
                        self.released.add(group)
        return [pid for pid in pids if pid not in kept and pid not in loose]

    def on_request(self, events):
        try:
            data = os.read(self.requests, 1 << 16)
        except InterruptedError:
            return
        if not data:
            return self.end()
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            if line and not self.ending:
                self.answer(json.loads(line))

    def answer(self, request):
        reply = {"id": request["id"]}
        try:
            do = getattr(self, "do_" + request["do"], None)
            reply.update(self.ask_about_code(request) if do is None else do(request), ok=True)
        except Refusal as e:
            reply.update(e.answer, ok=False)
        except OSError as e:
            reply.update(ok=False, error=_errno_name(e.errno), message=str(e))
        except Exception as e:
            reply.update(ok=False, error=type(e).__name__, message=str(e))
        self.send(reply)

    def ask_about_code(self, request):
        answers = _modules().answers
        ask = answers.ANSWERS.get(request["do"])
        if ask is None:
            raise Refusal("EINVAL", "unknown request %r" % request["do"])
        try:
            return ask(request, self.cache)
        except SyntaxError as e:
            raise Refusal("SyntaxError", e.msg or "invalid syntax", line=e.lineno or 1,
                          column=e.offset or 0, text=e.text or "", kind=type(e).__name__)
        except answers.Unanswered as e:
            raise Refusal(**e.answer)

    # --- requests about processes

    def do_hello(self, request):
        self.cache = request.get("cache")
        return {"version": list(sys.version_info[:3]), "pid": self.pid}

    def do_fifo(self, request):
        for path in request["paths"]:
            os.mkfifo(path, 0o600)
        return {}

    def do_spawn(self, request):
        if not request["argv"]:
            raise Refusal("ENOENT", "empty command", where="exec")
        start = _modules().program.start
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            start(request, write, self.pid)
        os.close(write)
        try:
            data = b""
            while True:
                more = os.read(read, 4096)
                if not more:
                    break
                data += more
        finally:
            os.close(read)
        if not data:
            return {"pid": pid}
        os.waitpid(pid, 0)
        where, name, message = json.loads(data)
        raise Refusal(name, message, where=where)

    def do_signal(self, request):
        pid = request["pid"]
        number = getattr(signal, request["signal"])
        # A pid that is not our child any more may be a stranger's by now.
        if _parent_of(pid) != self.pid:
            return {}
        if not request.get("group"):
            _kill(pid, number)
        elif os.getpgid(pid) == pid:
            try:
                os.killpg(pid, number)
            except (ProcessLookupError, PermissionError):
                pass
        else:
            # It shares its group with parked processes, which must not hear it.
            for each in [pid] + _descendants([pid]):
                _kill(each, number)
        return {}

    def do_kill(self, request):
        table = _processes()
        mine = [pid for pid in request["pids"] if table.get(pid) == self.pid]
        if request.get("tree"):
            mine = mine + _descendants(mine, table)
        for pid in mine:
            _kill(pid, signal.SIGKILL)
        return {}

    def do_strays(self, request):
        """Living processes that are none of `keep`: looked for, killed, or released to outlive the host."""
        keep = set(request["keep"])
        pids = [pid for pid in self.bound(keep) if not _is_zombie(pid)]
        if request["action"] == "kill":
            for pid in pids:
                _kill(pid, signal.SIGKILL)
        elif request["action"] == "release":
            groups = {_group_of(pid) for pid in pids} - {None}
            self.released |= groups - {_group_of(pid) for pid in keep | {self.pid}}
        return {"pids": pids}

    def do_pss(self, request):
        sizes = ((pid, _pss(pid)) for pid in request["pids"])
        return {"bytes": {str(pid): size for pid, size in sizes if size is not None}}

    def do_shutdown(self, request):
        self.end()
        return {}

    # --- terminals

    def do_tty(self, request):
        terminal = _modules().pty.Terminal(self, request["rows"], request["cols"],
                                           request.get("stdin"), request["stdout"])
        self.terminals[terminal.path] = terminal
        return {"path": terminal.path}

    def do_resize(self, request):
        self._terminal(request).resize(request["rows"], request["cols"])
        return {}

    def do_flush(self, request):
        self._terminal(request).flush()
        return {}

    def do_hangup(self, request):
        terminal = self.terminals.pop(request["tty"], None)
        if terminal is not None:
            terminal.close()
        return {}

    def _terminal(self, request):
        terminal = self.terminals.get(request["tty"])
        if terminal is None:
            raise Refusal("ENOENT", "no such terminal: %s" % request["tty"])
        return terminal


class _Modules:
    """The package's other modules, each loaded when first asked for."""

    def __getattr__(self, name):
        import importlib
        module = importlib.import_module("thaw_agent." + name)
        setattr(self, name, module)
        return module


_loaded = None


def _modules():
    global _loaded
    if _loaded is None:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        _loaded = _Modules()
    return _loaded


if __name__ == "__main__":
    Host().run()
