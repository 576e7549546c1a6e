"""What the program changes in its project: the content before the first change since a checkpoint is kept, and the daemon
told, before the change happens."""
import os
import posix
import stat

from .layout import hide_module
from .state import S

# Paths changed since the last checkpoint; paths ever changed by this program, whose later state is its own doing.
since, touched = set(), set()
# Directories this program made: what is below them is its own doing too.
own = set()
# Databases the program has opened: their locks belong to the process that took them.
databases = set()
_count = [0]


def below_own(path):
    """Whether a path lies in a directory that this program made."""
    if own:
        parent = path.rpartition("/")[0]
        while parent:
            if parent in own:
                return True
            parent = parent.rpartition("/")[0]
    return False


# Directories that are known to have no other name.
_real = set()


def canonical(path):
    """The path by its directory's one name: a file that is written under two names is one file."""
    parent, _, name = path.rpartition("/")
    if parent in _real:
        return path
    real = os.path.realpath(parent)
    for root in (S.config["project"], S.config["temp"]):
        # Below the root as the daemon calls it.
        there = os.path.realpath(root)
        if real == there or real.startswith(there + "/"):
            real = root + real[len(there):]
            break
    if real == parent:
        _real.add(parent)
    return real + "/" + name


def renamed():
    """Names of directories came, went or lead elsewhere."""
    _real.clear()


def several_names(path):
    """A file with hard links is about to be written: its other names change unannounced."""
    try:
        found = posix.lstat(path)
    except OSError:
        return
    if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
        S.event("opaque", "%s has several names" % path)
        S.opaque = True


def before_write(path, late=False):
    """Keep a path's content. `late`: it is open already, and what follows will not be announced."""
    touched.add(path)
    path = canonical(path)
    touched.add(path)
    if path in since and not late:
        return
    since.add(path)
    S.busy += 1
    try:
        message = {"t": "write", "path": path, "pre": None, "mode": 0}
        try:
            found = posix.lstat(path)
        except OSError:
            found = None
        if found is not None:
            message["mode"] = stat.S_IMODE(found.st_mode)
            if stat.S_ISLNK(found.st_mode):
                message["pre"] = {"link": posix.readlink(path)}
                target = os.path.realpath(path)
                if target != path and target not in since:
                    before_write(target)
            elif stat.S_ISDIR(found.st_mode):
                message["pre"] = "dir"
            elif stat.S_ISREG(found.st_mode):
                try:
                    message["pre"] = _copy(path, found.st_size)
                except OSError as error:
                    # Without its content before, nothing after this write can be taken back.
                    S.event("opaque", "no copy of %s could be kept: %s" % (path, error.strerror))
                    S.opaque = True
                    return
            else:
                # A pipe, a socket, a device: nobody can put it back as it was.
                message["pre"] = {"other": True}
        S.flush()
        S.seq += 1
        message["seq"] = S.seq
        S.wire.send(message)
    finally:
        S.busy -= 1


def before_tree(path):
    """A path is renamed or replaced: everything below it changes its name."""
    before_write(path)
    try:
        names = posix.listdir(path) if stat.S_ISDIR(posix.lstat(path).st_mode) else []
    except OSError:
        names = []
    for name in names:
        before_tree(path + "/" + name)


def _copy(path, size):
    _count[0] += 1
    # Not by the process id: in a sandbox all branches have the same.
    name = "%s/pre-%s-%d" % (S.config["store"], S.id, _count[0])
    source = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        target = posix.open(name, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
        try:
            copy(source, target, size)
        finally:
            posix.close(target)
    finally:
        posix.close(source)
    return name


def copy(source, target, size):
    """Copy `size` bytes from the start of one descriptor to the start of another, without moving the source's offset."""
    done = 0
    while done < size:
        try:
            some = posix.copy_file_range(source, target, size - done, offset_src=done, offset_dst=done)
        except OSError:
            data = posix.pread(source, min(1 << 20, size - done), done)
            some = posix.pwrite(target, data, done)
        if not some:
            break
        done += some


hide_module(globals())
