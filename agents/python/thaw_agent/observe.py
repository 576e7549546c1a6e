"""What the program sees of the world and does to it: inputs, writes and effects, noticed through audit hooks.

Every path that decides whether a checkpoint may be used passes here. Order of business for an event: is it the agent's
own, is it the interpreter's, what does it mean, record it once.
"""
import os
import posix
import stat as stat_module
import sys

import _sha1

from . import database, environment, inspection, journal, proc, queries, searches
from .layout import hide, hide_module
from .paths import classify, in_library, resolve
from .state import S

getframe = sys._getframe
raw_stat, raw_lstat = posix.stat, posix.lstat

# First observation of each path, by kind of observation.
_read, _looked, _listed, _found, _dated = set(), set(), set(), set(), set()

# Places where tools keep what only some of their options read: it means nothing without them. Left out of listings too.
TOOL_PLACES = {
    "/.pytest_cache": ("--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first", "--sw", "--stepwise", "--cache-"),
    "/.benchmarks": ("--benchmark",),
}
UNLISTED = {"__pycache__", ".pytest_cache", ".benchmarks"}


def signature(path):
    """[size, mtime in ns, inode] of what a path leads to, or None."""
    try:
        found = raw_stat(path)
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _kind(mode):
    kinds = ((stat_module.S_ISREG, "file"), (stat_module.S_ISDIR, "dir"), (stat_module.S_ISLNK, "link"))
    return next((kind for of_kind, kind in kinds if of_kind(mode)), "other")


def _kept_by_tool(path):
    """Whether a path belongs to a tool that was not asked to use it."""
    for place, options in TOOL_PLACES.items():
        if place in path:
            break
    else:
        return False
    words = list(sys.argv) + [os.environ._data.peek(b"PYTEST_ADDOPTS") or ""]
    for name in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
        try:
            with open(os.path.join(S.config["project"], name), encoding="utf-8", errors="replace") as file:
                words.append(file.read())
        except OSError:
            pass
    return not any(option in str(word) for word in words for option in options)


def _meaningless(path):
    """Whether what is there tells nothing of the world outside this run: the program's own doing, places without content,
    and the numbered directories of the temporary one, whose names are as random as the clock."""
    return path in journal.touched or _own_place(path)


def _own_place(path):
    """The same for what a directory holds: that the program made sure of the directory, or changed its mode, tells nothing of
    the names in it."""
    if path in journal.own or journal.below_own(path):
        return True
    place = classify(path)
    return place is None or place == "temp" and "/pytest-of-" in path


# ------------------------------------------------------------------ what was seen
def saw_read(path):
    """A file was opened for reading."""
    if path in _read or _meaningless(path):
        return
    place = classify(path)
    if _kept_by_tool(path):
        return
    _read.add(path)
    directory, cached, name = path.rpartition("/__pycache__/")
    if cached and name.rstrip("0123456789").rstrip(".").endswith(".pyc"):
        # The import system took the compiled form (or made it, under a name of its own at first); what counts is the source.
        path = directory + "/" + name.split(".", 1)[0] + ".py"
        place = classify(path)
        if place in ("project", None) or path in _read:
            return
        _read.add(path)
        S.event("package", path, signature(path))
    else:
        S.event("package" if place == "package" else "read", path, signature(path))


EXISTENCE = {"exists", "isfile", "isdir", "lexists", "is_file", "is_dir", "islink", "is_symlink", "is_mount", "ismount", "_joinrealpath", "realpath", "resolve", "rglob", "glob"}


def saw_stat(path, follow):
    """A file's status was looked at."""
    if path is None or (path, follow) in _looked:
        return
    frame = getframe(1)
    code = frame.f_code
    if code.co_name == "stat" or code.co_name == "lstat":
        code = (frame.f_back or frame).f_code
    existence = code.co_name in EXISTENCE and in_library(code.co_filename) or _same_module(frame)
    note_status(path, follow, existence)


def _same_module(frame):
    """pytest compares where a module came from with where it should: the path decides."""
    return frame.f_code.co_name == "samefile" and frame.f_back.f_code.co_filename.endswith("/_pytest/pathlib.py")


def note_status(path, follow, existence):
    """`existence`: whether there is something, and of what kind, is all that counts."""
    if path in journal.touched and not existence:
        dated(path)
    whole = (path, follow)
    part = (path, follow, "existence")
    if whole in _looked or existence and part in _looked or _meaningless(path) or _compiled(path) or _kept_by_tool(path):
        return
    _looked.add(part if existence else whole)
    event = "stat" if follow else "lstat"
    try:
        found = (raw_stat if follow else raw_lstat)(path)
    except (OSError, ValueError):
        S.event(event, path, None)
        return
    kind = _kind(found.st_mode)
    # A link leads elsewhere once it is made anew: its kind alone tells too little.
    if kind == "link" or kind == "file" and not existence:
        S.event(event, path, [kind, found.st_size, found.st_mtime_ns, stat_module.S_IMODE(found.st_mode)])
    else:
        S.event(event, path, [kind])


def dated(path):
    """The program knows, or decides, at what time a file of its own was written."""
    if path not in _dated and classify(path) in ("project", "temp"):
        _dated.add(path)
        S.event("dated", path)


def names_digest(path):
    """sha1 of the names in a directory that programs leave on purpose, directories marked; None when it cannot be listed."""
    try:
        with posix.scandir(path) as entries:
            names = [e.name + "/" if e.is_dir(follow_symlinks=False) else e.name for e in entries]
    except OSError:
        return None
    names = sorted(os.fsencode(n) for n in names if n.rstrip("/") not in UNLISTED and not n.endswith(".pyc"))
    return _sha1.sha1(b"\0".join(names)).hexdigest()


def saw_list(path):
    if isinstance(path, int):
        try:
            path = posix.readlink("/proc/self/fd/%d" % path)
        except OSError:
            return
    path = resolve("." if path is None else path)
    if path is None or path in _listed:
        return
    if not searches.is_installed(path) and (_own_place(path) or classify(path) == "package"):
        return
    if getframe(1).f_code.co_filename.startswith("<frozen importlib"):
        return
    if not _kept_by_tool(path):
        _listed.add(path)
        S.event("list", path, names_digest(path))


def saw_scan(path):
    """An iterator over entries: each of them knows its status, and tells it unseen."""
    saw_list(path)
    code = getframe(1).f_code
    # The standard library and pytest ask entries for their kind, which the listing has.
    if in_library(code.co_filename) or "/_pytest/" in code.co_filename:
        return
    try:
        path = at(".", path) if isinstance(path, int) else resolve("." if path is None else path)
        names = [] if path is None else posix.listdir(path)
    except OSError:
        return
    for name in names:
        for follow in (False, True):
            note_status(path + "/" + os.fsdecode(name), follow, False)


def looked_for(module, path=None):
    """A module was searched, whether it was found or not. `path`: where, if not among all modules."""
    # Of a package's parts only one that is spread over several directories can have more than its files tell.
    searches.enter(sys.path, True)
    searches.enter(path, type(path).__name__ == "_NamespacePath")
    name = module.rpartition(".")[2]
    if name not in _found:
        _found.add(name)
        S.event("find", name)


# From 3.14 on: code of other interpreters in this process, whose audit hooks are their own.
INTERPRETERS = {"concurrent.interpreters", "concurrent.futures.interpreter"}


def saw_import(args):
    if args[1]:
        saw_read(resolve(args[1]))
    looked_for(args[0])
    if args[0] in INTERPRETERS:
        inspection.give_up("other interpreters may run in the process")


# ------------------------------------------------------------------ opening files
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def on_open(args):
    path, _, flags = args
    path = resolve(path)
    if path is None:
        return
    if not flags & WRITES:
        saw_read(path)
        return
    # A directory is opened this way to make a file without a name in it.
    if flags & os.O_TMPFILE == os.O_TMPFILE or os.path.isdir(path):
        note_status(path, True, True)
        return
    # Only a write that replaces everything is blind to what was there before.
    blind = flags & os.O_TRUNC and not flags & os.O_EXCL
    if not blind and not _random_name(getframe(1)):
        saw_read(path)
    journal.several_names(path)
    wrote(path, "open %s" % path)


def _compiled(path):
    """Compiled code that the import system keeps: whether it is there changes no result."""
    return "/__pycache__" in path or path.endswith(".pyc")


def wrote(path, what):
    """A path is about to be changed. Outside the project and the temporary directory that is an effect."""
    if _compiled(path):
        return
    place = classify(path)
    if place is None and not path.startswith(("/usr/", "/etc/", "/var/", "/opt/", "/lib")):
        return
    if place in ("project", "temp"):
        _in_the_way(path)
        journal.before_write(path)
    else:
        S.event("effect", "write", what)


def _in_the_way(path):
    """Whether a write succeeds depends on what is there: the directory, and permissions. A failure is an answer too."""
    parent = path.rpartition("/")[0] or "/"
    note_status(parent, True, True)
    there = path if os.path.exists(path) else parent
    if not posix.access(there, os.W_OK):
        note_status(there, True, False)


def at(path, directory):
    if isinstance(directory, int) and directory >= 0 and not isinstance(path, int):
        try:
            return resolve(os.path.join(os.readlink("/proc/self/fd/%d" % directory), os.fsdecode(path)))
        except (OSError, TypeError):
            return None
    return resolve(path)


def _existing(path):
    """An operation that tells whether the path was there."""
    if path is not None:
        note_status(path, False, True)


def on_change(args):
    """remove, rmdir, truncate, chmod, chown, utime, setxattr: (path, …, dir_fd)"""
    directory = args[-1] if len(args) > 1 and isinstance(args[-1], int) else -1
    path = at(args[0], directory)
    if path is not None:
        _existing(path)
        wrote(path, "change %s" % path)


def on_utime(args):
    on_change(args)
    path = at(args[0], args[-1])
    if path is not None:
        dated(path)


def on_made(path, name):
    """A function that raises no audit event makes a file."""
    if path is not None:
        _existing(path)
        wrote(path, "%s %s" % (name, path))


def on_rmdir(args):
    path = at(args[0], args[1])
    if path is not None:
        # Only an empty one goes.
        saw_list(path)
    on_change(args)


def on_truncate(args):
    path = resolve(args[0])
    if path is not None:
        saw_read(path)
        journal.several_names(path)
        wrote(path, "truncate %s" % path)


def _random_name(frame):
    """tempfile makes names that no later run will meet."""
    return frame.f_code.co_filename.endswith("/tempfile.py")


def on_mkdir(args):
    path = at(args[0], args[2])
    if path is None:
        return
    frame = getframe(1)
    # pathlib was one file, then a package (3.13), whose parts have moved since (3.14).
    module = frame.f_globals.get("__name__", "").partition(".")[0]
    makers = frame.f_code.co_name in ("makedirs", "mkdir") and module in ("os", "pathlib")
    if not (makers and frame.f_locals.get("exist_ok")):
        # Its absence is on record, or cannot recur: what is below it is the program's own doing.
        if not _random_name(frame):
            _existing(path)
        if not os.path.lexists(path):
            journal.own.add(path)
    wrote(path, "mkdir %s" % path)


def on_rename(args):
    journal.renamed()
    for path, directory in ((args[0], args[2]), (args[1], args[3])):
        path = at(path, directory)
        if path is not None:
            if path != at(args[1], args[3]):
                _existing(path)
            if _compiled(path):
                continue
            journal.before_tree(path) if classify(path) in ("project", "temp") else wrote(path, "rename %s" % path)


def on_link(args):
    journal.renamed()
    path = at(args[1], args[-1])
    if path is not None:
        _existing(path)
        wrote(path, "link %s" % path)


def on_sqlite(args):
    database.watch(database_opened)
    path = database.path_of(args[0])
    if path is not None:
        database_opened(path, True, True)


def database_opened(path, write, main):
    """SQLite opens a file: `main`, a database; else a journal of one, or a temporary file."""
    if main:
        journal.databases.add(path)
    saw_read(path)
    for suffix in ("", "-journal", "-wal", "-shm") if main else ("",):
        if write:
            wrote(path + suffix, "sqlite %s" % path)


# ------------------------------------------------------------------ effects
def effect(kind, text):
    S.event("effect", kind, text)


def _words(value):
    """A command line as texts, whatever form it was given in."""
    if isinstance(value, (str, bytes, os.PathLike)):
        value = [value]
    try:
        return [os.fsdecode(word) for word in value]
    except TypeError:
        return []


class Children:
    """What is known of the program's children: whether some were announced, and what they had used, in which process."""

    announced = False
    reaped = bytes(144)
    pid = 0


def look_for_children():
    """Some ways to start a process raise no audit event (multiprocessing's spawn): those show afterwards."""
    if Children.pid != S.pid:
        Children.pid, Children.reaped = S.pid, bytes(144)
    reaped, alive = proc.reaped(), bool(proc.children())
    if not Children.announced and (alive or reaped != Children.reaped):
        S.alone = False
        effect("child", "a child process")
        Children.announced = alive
    elif not alive:
        Children.announced = False
    Children.reaped = reaped


def on_popen(args):
    S.alone = False
    Children.announced = True
    words = _words(args[1])
    shell = bool(words) and words[0] in ("/bin/sh", "sh") and words[1:2] == ["-c"]
    directory = resolve("." if args[2] is None else args[2])
    if words and not shell and queries.is_query(words):
        S.event("query", words, directory)
    else:
        effect("child", "subprocess " + " ".join(words[2:] if shell else words)[:200])


def on_child(name):
    def handler(args):
        S.alone = False
        Children.announced = True
        first = _words(args[0])[:1] if args and name != "fork" else []
        effect("child", " ".join([name, *first])[:200])
        if name == "exec":
            S.flush()

    return handler


def _loopback(host):
    return host is None or isinstance(host, str) and (host.startswith("127.") or host in ("::1", "localhost"))


def _stays(name, args):
    """Whether no traffic leaves the program: looked up without asking anybody, or on a loopback of its own."""
    if name == "lookup":
        return _loopback(args[0])
    if not S.config.get("alone"):
        return False
    address = args[1]
    if address is None:
        try:
            address = args[0].getpeername()
        except OSError:
            return False
    # Nobody else comes to a port in a network of its own.
    return isinstance(address, tuple) and (name == "bind" or _loopback(address[0]))


def on_network(name):
    def handler(args):
        if _stays(name, args):
            return
        effect("network", "%s %s" % (name, args[1] if len(args) > 1 else args[0] if args else ""))

    return handler


def on_kill(args):
    if args and args[0] != posix.getpid():
        effect("signal", "kill %s" % (args[0],))


def on_native(args):
    if args[0] and b"/" in os.fsencode(args[0]):
        saw_read(resolve(args[0]))


HANDLERS = {
    "open": on_open,
    "os.listdir": lambda args: saw_list(args[0]),
    "os.scandir": lambda args: saw_scan(args[0]),
    "import": saw_import,
    "os.remove": on_change, "os.rmdir": on_rmdir, "os.chmod": on_change, "os.chown": on_change, "os.utime": on_utime,
    "os.setxattr": on_change, "os.removexattr": on_change,
    "os.truncate": on_truncate,
    "os.mkdir": on_mkdir,
    "os.rename": on_rename,
    "os.link": on_link, "os.symlink": on_link,
    "sqlite3.connect": on_sqlite,
    "subprocess.Popen": on_popen, "os.system": on_child("system"), "os.posix_spawn": on_child("spawn"),
    "os.exec": on_child("exec"), "os.fork": on_child("fork"), "os.forkpty": on_child("fork"),
    "socket.connect": on_network("connect"), "socket.bind": on_network("bind"), "socket.sendto": on_network("send"),
    "socket.sendmsg": on_network("send"), "socket.getaddrinfo": on_network("lookup"), "socket.gethostbyname": on_network("lookup"),
    "socket.gethostbyaddr": on_network("lookup"),
    "os.kill": on_kill, "os.killpg": on_kill, "sys.remote_exec": lambda args: effect("signal", "remote_exec %s" % args[0]),
    "ctypes.dlopen": on_native,
}
for _handler in HANDLERS.values():
    hide(_handler.__code__)
HANDLERS.update(inspection.HANDLERS)


def audit(event, args, get=HANDLERS.get):
    handler = get(event)
    if handler is not None and not S.busy and not S.inert:
        S.busy += 1
        try:
            handler(args)
        except RecursionError:
            # The program is at its own limit; what it meant to do is unknown.
            S.opaque = True
        finally:
            S.busy -= 1


# Without this attribute the interpreter looks it up in vain at every event.
audit.__cantrace__ = False


def install():
    """Start observing. Audit hooks cannot be taken back; `S.inert` silences them."""
    environment.install()
    inspection.wrap_shown_warnings()
    sys.addaudithook(audit)


hide_module(globals())
