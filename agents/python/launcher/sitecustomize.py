"""Python programs below a command that thaw runs become runs of their own.

A command that is not Python (make, sh, uv) is started with this directory in
front of PYTHONPATH, so that every interpreter below it imports this file first
(docs/agent-protocol.md, "Launchers"). It takes out what was put in, hands the
command over to thaw where a run of its own would equal this process, and else
lets the next sitecustomize on the path have its turn.

Any Python may meet this file: the syntax is that of 2.7.
"""


def _arrive():
    import os
    import sys

    variable = "THAW_LAUNCHER"
    # They change the interpreter's own packages, or are over before a run of their own has begun.
    helpers = ("pip", "ensurepip", "venv", "virtualenv", "build", "pipx")
    # They start other programs, which are what is to be resumed.
    launchers = ("tox", "nox", "invoke", "inv", "poetry", "pipenv", "pdm", "hatch", "pre-commit", "pre_commit")

    def decoded(text):
        parts = text.split("%")
        made = parts[0].encode()
        for part in parts[1:]:
            made += bytes(bytearray([int(part[:2], 16)])) + part[2:].encode()
        return made if str is bytes else os.fsdecode(made)

    def program():
        """What this interpreter runs: a name, or None where it is a helper's errand."""
        first = sys.argv[0] if getattr(sys, "argv", None) else ""
        if first == "-m":
            words = getattr(sys, "orig_argv", ())
            at = len(words) - len(sys.argv)
            word = words[at] if 0 <= at < len(words) else ""
            name = word.split("m", 1)[1] if word.startswith("-") and "m" in word else word
            return None if not name or name.split(".")[0] in helpers else name
        if first in ("", "-", "-c") or sys.flags.interactive or sys.flags.inspect:
            return None
        path = os.path.abspath(first)
        library = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
        if "/site-packages/" in path or "/dist-packages/" in path or path.startswith(library):
            return None
        name = os.path.basename(path)
        return None if name.rstrip("0123456789.") in helpers else name

    def restore(directory, original):
        """PYTHONPATH and sys.path as they would be without this directory."""
        now = os.environ.get("PYTHONPATH", "")
        put = directory + (":" + original if original else "")
        if put in now:
            cleaned = now.replace(put, original or "", 1)
        else:
            cleaned = ":".join(part for part in now.split(":") if part != directory)
        if cleaned or original is not None:
            os.environ["PYTHONPATH"] = cleaned
        else:
            os.environ.pop("PYTHONPATH", None)
        del os.environ[variable]
        return cleaned

    def clean_path(directory, value):
        at = sys.path.index(directory)
        # An empty entry of a longer PYTHONPATH is the working directory.
        if value and "" in value.split(":") and directory not in value:
            here = os.getcwd()
            if here not in sys.path:
                sys.path[at] = here
                return
        del sys.path[at]

    def read(path):
        with open(path, "rb") as f:
            return f.read()

    def exhausted(fd):
        """Whether reading comes to an end at once, now and later."""
        import stat
        kept = os.fstat(fd)
        if stat.S_ISCHR(kept.st_mode):
            return kept.st_rdev == os.makedev(1, 3)
        if stat.S_ISFIFO(kept.st_mode):
            import select
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            events = dict(poll.poll(0)).get(fd, 0)
            return bool(events & select.POLLHUP) and not events & select.POLLIN
        return False

    def obstacle(daemon, typed, runtime):
        """Why a run of its own would not equal this process; None where it would."""
        for name in os.listdir("/proc/self/fd"):
            try:
                if int(name) > 2 and os.get_inheritable(int(name)):
                    return "it was given a descriptor beyond the standard three"
            except OSError:
                pass
        for fd in (0, 1, 2):
            try:
                if os.isatty(fd) or os.fstat(fd) is None:
                    return "it has a terminal"
            except OSError:
                return "a standard stream is closed"
        if not exhausted(0) and not (typed and os.readlink("/proc/self/fd/0").startswith(runtime + "/f")):
            return "its stdin may hold more for others (< /dev/null helps)"
        fields = dict(line.split(":\t", 1) for line in read("/proc/self/status").decode().splitlines()
                      if line.startswith(("SigBlk", "SigIgn")))
        # The interpreter itself ignores SIGPIPE and SIGXFSZ; 32 and 33 are the C library's own.
        ours = 1 << 12 | 1 << 24 | 1 << 31 | 1 << 32
        if (int(fields["SigBlk"], 16) | int(fields["SigIgn"], 16)) & ~ours:
            return "signals are ignored or blocked (nohup, trap, a job in the background)"
        there = "/proc/%d/" % daemon
        here = "/proc/self/"
        # Node has to live under these as well. It raises that on open files, and can do with few.
        import resource
        mine, theirs = ([line for line in read(where + "limits").splitlines() if not line.startswith(b"Max open files")]
                        for where in (here, there))
        same = mine == theirs and resource.getrlimit(resource.RLIMIT_NOFILE)[0] not in range(64)
        same = same and read(here + "cgroup") == read(there + "cgroup")
        same = same and os.readlink(here + "root") == os.readlink(there + "root")
        same = same and all(os.readlink(here + "ns/" + name) == os.readlink(there + "ns/" + name)
                            for name in os.listdir(here + "ns"))
        return None if same else "its limits, cgroup or namespaces are not those of a run"

    def connect(path):
        import _socket
        line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        line.connect(path)
        return line

    def tell(line, token, words, why):
        def text(value):
            made = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            return '"%s"' % "".join("\\u%04x" % ord(c) if c < " " or c in '"\\' else c for c in made)
        body = '{"command":[%s],"reason":%s}' % (",".join(text(word) for word in words), text(why))
        data = body.encode()
        head = ("POST /v1/launches/%s/plain HTTP/1.1\r\nHost: thaw\r\nConnection: close\r\n"
                "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (token, len(data)))
        line.settimeout(2)
        line.sendall(head.encode() + data)
        # The answer means that it was noted before this program's end.
        line.recv(64)

    directory = os.path.dirname(__file__)
    value = os.environ.get(variable)
    found = None if directory not in sys.path else value
    if directory in sys.path and value is None:
        sys.path.remove(directory)
    if found is not None:
        fields = [decoded(field) for field in found.split("&")]
        given, token, socket_path, daemon, typed, versions, node, thaw = fields[:8]
        name = program()
        if name is not None and name in launchers:
            # What it starts is to meet this file as well.
            sys.path.remove(directory)
        else:
            clean_path(directory, restore(directory, given[1:] if given.startswith("=") else None))
            try:
                version = "%s %d.%d" % (sys.implementation.name, sys.version_info[0], sys.version_info[1])
                if name is not None and version in versions.split(",") and os.path.isabs(sys.executable or ""):
                    why = obstacle(int(daemon), typed == "1", os.path.dirname(socket_path))
                    words = [sys.executable] + list(sys.orig_argv[1:])
                    line = connect(socket_path)
                    try:
                        if why is not None:
                            tell(line, token, words, why)
                    finally:
                        line.close()
                    if why is None:
                        import resource
                        # Node raises this one when it starts.
                        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
                        soft = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
                        os.execve(node, [node, thaw, "__below", token, socket_path] + fields[8:] + ["--"] + words,
                                  dict(os.environ, THAW_NOFILE=soft))
            except Exception:
                # Whatever it is that cannot be found out here: the program runs as it would have.
                pass
    sys.path_importer_cache.pop(directory, None)


_arrive()
del _arrive

# As the interpreter does it: absent is as good as there, and what it raises is told in its own words.
import sys  # noqa: E402
sys.modules.pop("sitecustomize", None)
import sitecustomize  # noqa: E402,F401
