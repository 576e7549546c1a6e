"""Open files across a clone. Clones share offsets with their original, so each gets open file descriptions of its own."""
import ctypes
import posix
import stat

from . import channels, journal
from .layout import hide_module
from .paths import classify
from .proc import read
from .state import S

SYS_KCMP, KCMP_FILE = 312, 0
HARMLESS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
libc = ctypes.PyDLL(None)


class Unsafe(Exception):
    """What is open that cannot be copied. `sandbox`: from outside it can be."""

    def __init__(self, why, sandbox=False):
        Exception.__init__(self, why)
        self.sandbox = sandbox


class Group:
    """Descriptors that share one open file description."""

    __slots__ = ("fds", "key", "path", "flags", "offset", "size", "unlinked", "stream", "copy")

    def __init__(self, fd, found, path, flags, offset, stream):
        self.fds, self.key, self.path, self.flags, self.offset = [fd], (found.st_dev, found.st_ino), path, flags, offset
        self.size, self.unlinked, self.stream, self.copy = found.st_size, found.st_nlink == 0, stream, -1


def _same(a, b):
    pid = posix.getpid()
    return libc.syscall(SYS_KCMP, pid, pid, KCMP_FILE, a, b) == 0


# Identity of the standard streams of this branch: (device, inode) -> "stdin" | "stdout" | "stderr" | "tty"
streams = {}
# Those of them that lead to /dev/null, as descriptors.
null_streams = {}


class Files:
    """Every descriptor the program has open, in groups."""

    def __init__(self, groups, own=(), polls=()):
        self.groups, self.own, self.polls = groups, own, polls

    def written(self):
        """Paths in the project that are open for writing."""
        for group in self.groups:
            if group.stream is None and not group.unlinked and group.flags & 3 and stat.S_ISREG(posix.fstat(group.fds[0]).st_mode):
                yield group.path

    def keep_unlinked(self):
        """Files without a name exist in open descriptions only: copy their content before the original changes it."""
        for group in self.groups:
            if group.unlinked:
                group.copy = _copy(group.fds[0], group.size, group.offset)

    def forget_unlinked(self):
        for group in self.groups:
            if group.copy >= 0:
                posix.close(group.copy)
                group.copy = -1

    def separate(self, restoring):
        """Give this process its own descriptions: a parked one for as long as it waits, a restored one to go on with."""
        for group in self.groups:
            if group.stream is not None:
                continue
            if group.copy >= 0:
                fd, group.copy = group.copy, -1
            elif group.unlinked:
                fd = _copy(group.fds[0], group.size, group.offset)
            else:
                fd = self._reopen(group, restoring)
            for n in group.fds:
                posix.dup2(fd, n, posix.get_inheritable(n))
            posix.close(fd)
        for channel in self.own:
            channel.renew()
        if not restoring:
            self.watch(False)

    def watch(self, really=True):
        """Poll sets come last, when what they watch is in place; nothing is watched for a parked process."""
        for poll in self.polls:
            poll.renew(really)

    def _reopen(self, group, restoring):
        flags = group.flags & ~(posix.O_CREAT | posix.O_TRUNC | posix.O_EXCL | posix.O_NOFOLLOW) | posix.O_CLOEXEC
        name = "/proc/self/fd/%d" % group.fds[0]
        # A file that was removed after the checkpoint was made again under its name.
        if restoring and posix.fstat(group.fds[0]).st_nlink == 0:
            name = group.path
        fd = posix.open(name, flags)
        try:
            posix.lseek(fd, group.offset, 0)
        except OSError:
            pass
        return fd

    def detach_streams(self):
        """A parked process must not hold the pipes of a branch open: their readers wait for the end."""
        null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
        for group in self.groups:
            if group.stream is not None:
                for n in group.fds:
                    posix.dup2(null, n, posix.get_inheritable(n))
        posix.close(null)


def _copy(fd, size, offset):
    directory = S.config["store"]
    try:
        copy = posix.open(directory, posix.O_TMPFILE | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
    except OSError:
        name = "%s/unlinked-%d-%d" % (directory, posix.getpid(), fd)
        copy = posix.open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
        posix.unlink(name)
    source = posix.open("/proc/self/fd/%d" % fd, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        journal.copy(source, copy, size)
    finally:
        posix.close(source)
    posix.lseek(copy, offset, 0)
    return copy


def told(fd):
    """Offset and flags of an open description, and all the kernel says of it."""
    text = read("/proc/self/fdinfo/%d" % fd)
    lines = text.split(b"\n", 2)
    return int(lines[0].split()[1]), int(lines[1].split()[1], 8) & ~posix.O_CLOEXEC, text


def scan():
    """All open descriptors but the agent's own. Raises Unsafe."""
    groups, private = [], []
    for text in posix.listdir("/proc/self/fd"):
        fd = int(text)
        if fd == S.wire.fd:
            continue
        try:
            found = posix.fstat(fd)
            path = posix.readlink("/proc/self/fd/%d" % fd)
            offset, flags, said = told(fd)
        except OSError:
            continue
        kind = stat.S_IFMT(found.st_mode)
        stream = streams.get((found.st_dev, found.st_ino))
        if stream is None and path == "/dev/null":
            stream = null_streams.get(fd)
        own = stream is None and channels.may_renew(path)
        if stream is None and not own:
            _refuse_kind(fd, kind, path)
        refuse_unannounced(found, path, flags if stream is None else 0, said)
        for group in groups:
            if group.key == (found.st_dev, found.st_ino) and group.stream == stream and _same(group.fds[0], fd):
                group.fds.append(fd)
                break
        else:
            group = Group(fd, found, path, flags, offset, stream)
            groups.append(group)
            if own:
                private.append((group, said))
    if not private:
        return Files(groups)
    return Files([group for group in groups if all(group is not one for one, _ in private)], *_channels(private))


def refuse_unannounced(found, path, flags, said):
    """Files whose state the copy could not have for itself, or that change without a word. Raises Unsafe."""
    if b"\nlock:" in said:
        raise Unsafe("locked file %s" % path)
    if stat.S_ISREG(found.st_mode) and flags & 3 and found.st_nlink and path not in journal.touched and classify(path) is not None:
        raise Unsafe("%s was opened for writing by native code" % path)
    if path in journal.databases:
        raise Unsafe("open database %s" % path)


def _refuse_kind(fd, kind, path):
    if kind == stat.S_IFSOCK:
        raise Unsafe("open socket (descriptor %d)" % fd, True)
    if kind == stat.S_IFIFO:
        raise Unsafe("open pipe (descriptor %d)" % fd, True)
    if kind == stat.S_IFCHR and path not in HARMLESS:
        raise Unsafe("open device %s" % path)
    if kind not in (stat.S_IFREG, stat.S_IFCHR, stat.S_IFDIR):
        raise Unsafe("open %s (descriptor %d)" % (path, fd), True)
    if kind == stat.S_IFREG and path.startswith(("/memfd:", "anon_inode:")):
        raise Unsafe("open %s" % path, True)


def _channels(private):
    """What leads to this process only. Raises Unsafe for what may lead elsewhere."""
    if not S.alone:
        group = private[0][0]
        kind = group.path.replace("anon_inode:", "").partition(":")[0].strip("[]")
        raise Unsafe("open %s (descriptor %d), and a child process may have it too" % (kind, group.fds[0]), True)
    try:
        return channels.collect([(group.fds, group.flags, group.key[1], group.path, told) for group, told in private])
    except channels.Foreign as foreign:
        raise Unsafe(str(foreign), True) from None


def attach_streams(files, order):
    """Open the streams of a new branch wherever the checkpoint had those of its own."""
    fresh = {}
    names = {"stdin": order.get("stdin"), "stdout": order.get("stdout"), "stderr": order.get("stderr"), "tty": order.get("tty")}
    modes = {"stdin": posix.O_RDONLY, "stdout": posix.O_WRONLY | posix.O_APPEND, "stderr": posix.O_WRONLY | posix.O_APPEND, "tty": posix.O_RDWR}

    def stream(name):
        path = names[name] or "/dev/null"
        terminal = path == names["tty"]
        if path not in fresh:
            fresh[path] = posix.open(path, modes["tty" if terminal else name])
            found = posix.fstat(fresh[path])
            if path != "/dev/null":
                new_streams[(found.st_dev, found.st_ino)] = "tty" if terminal else name
        return fresh[path]

    new_streams = {}
    for group in files.groups:
        if group.stream is not None:
            fd = stream(group.stream)
            for n in group.fds:
                posix.dup2(fd, n, posix.get_inheritable(n) or n < 3)
    for fd in fresh.values():
        if fd > 2:
            posix.close(fd)
    streams.clear()
    streams.update(new_streams)
    null_streams.clear()
    null_streams.update((fd, name) for fd, name in enumerate(("stdin", "stdout", "stderr")) if not names[name])
    for group in files.groups:
        if group.stream is not None:
            found = posix.fstat(group.fds[0])
            group.key = (found.st_dev, found.st_ino)


def standard():
    """The streams of checkpoint 0: three descriptors that every branch replaces."""
    groups = []
    null = posix.open("/dev/null", posix.O_RDWR)
    for fd, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            found = posix.fstat(fd)
        except OSError:
            posix.dup2(null, fd, True)
            found = posix.fstat(fd)
        groups.append(Group(fd, found, name, 0, 0, name))
    if null > 2:
        posix.close(null)
    return Files(groups)


hide_module(globals())
