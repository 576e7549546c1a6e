"""A program's process between the host's fork and the program. Runs on any CPython from 3.8 on."""
import ctypes
import errno
import fcntl
import json
import os
import resource
import signal

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _exec(argv, env):
    """execvpe as a shell does it: a script without a first line goes to sh."""
    name = argv[0]
    if "/" in name:
        candidates = [name]
    else:
        path = env.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        candidates = [os.path.join(d or ".", name) for d in path.split(":")]
    failure = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    for candidate in candidates:
        try:
            try:
                os.execve(candidate, argv, env)
            except OSError as e:
                if e.errno != errno.ENOEXEC:
                    raise
                os.execve("/bin/sh", ["/bin/sh", candidate] + argv[1:], env)
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.ENOTDIR):
                failure = e
                if e.errno != errno.EACCES:
                    break
    raise failure


def _standard_streams(request):
    tty = request.get("tty")
    if tty:
        fd = os.open(tty, os.O_RDWR)
        import termios
        fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
        streams = [fd if request.get("stdin") else os.open(os.devnull, os.O_RDONLY), fd, fd]
    else:
        stdout, stderr = request.get("stdout"), request.get("stderr")
        streams = [os.open(request.get("stdin") or os.devnull, os.O_RDONLY)]
        streams.append(os.open(stdout or os.devnull, os.O_WRONLY | os.O_APPEND))
        streams.append(streams[1] if stderr == stdout else
                       os.open(stderr or os.devnull, os.O_WRONLY | os.O_APPEND))
    # Above 2 first: a stream may have been opened as a number it must not have.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in streams]
    for number, fd in enumerate(high):
        os.dup2(fd, number)
    for fd in set(high + streams):
        if fd > 2:
            os.close(fd)


def _allow(allowance):
    """Limits last: under low ones what comes before might fail."""
    if os.getpriority(os.PRIO_PROCESS, 0) != allowance["nice"]:
        os.setpriority(os.PRIO_PROCESS, 0, allowance["nice"])
    cpus = set()
    for part in allowance["cpus"].split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    if os.sched_getaffinity(0) != cpus:
        os.sched_setaffinity(0, cpus)
    for number, pair in enumerate(allowance["limits"]):
        limit = tuple(resource.RLIM_INFINITY if bound == "unlimited" else int(bound) for bound in pair)
        if resource.getrlimit(number) != limit:
            resource.setrlimit(number, limit)


def start(request, report, host):
    """Becomes the program of a `spawn` request, in a process forked for it. Does not return.

    What goes wrong is written to `report`: a list of where, an errno name, a message.
    """
    where = "exec"
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != host:
            os._exit(1)
        if request.get("tty"):
            os.setsid()
        else:
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in range(1, signal.NSIG):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                pass
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        where = "chdir"
        os.chdir(request["cwd"])
        os.umask(request["umask"])
        where = "stdio"
        # The report must survive the moving of descriptors below.
        kept = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, 64)
        os.close(report)
        report = kept
        _standard_streams(request)
        where = "limits"
        _allow(request["allowance"])
        where = "exec"
        _exec(request["argv"], request["env"])
    except OSError as e:
        problem = (where, errno.errorcode.get(e.errno, str(e.errno)), str(e))
    except Exception as e:  # e.g. a NUL byte inside an argument
        problem = (where, "EINVAL", str(e))
    try:
        os.write(report, json.dumps(problem).encode())
    finally:
        os._exit(127)
