"""A private copy of a project, and programs that see it in the project's place. Run as a script by the daemon, with any
Python from 3.8 on: `private.py copy < REQUEST`, `private.py run VIEW COMMAND...`."""
import ctypes
import errno
import fcntl
import json
import os
import signal
import stat
import sys

# Run as a script, with -I: what lies beside it is not found by itself, and is no package.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from views import isolate, show

del sys.path[0]

FICLONE = 0x40049409
PR_SET_PDEATHSIG = 1
# Large, and not what a program works on: shown where they are, read-only, unless the run wrote into them.
SHARED = {"node_modules", ".git", ".hg", ".svn"}


class TooLarge(Exception):
    pass


class Copy:
    def __init__(self, request):
        self.project, self.target = request["project"], request["copy"]
        self.skip, self.written = set(request["skip"]), request["written"]
        self.bytes, self.entries = request["bytes"], request["entries"]
        self.limits = request["bytes"], request["entries"]
        self.shared, self.inodes = [], {}

    def directory(self, source, target):
        names = os.listdir(source)
        if source != self.project and self.is_shared(source, names):
            self.shared.append(os.path.relpath(source, self.project))
            os.mkdir(target, 0o700)
            return
        if source != self.project:
            os.mkdir(target, 0o700)
        for name in names:
            path = os.path.join(source, name)
            if path not in self.skip:
                self.entry(path, os.path.join(target, name))
        self.looks(source, target)

    def is_shared(self, source, names):
        if os.path.basename(source) not in SHARED and "pyvenv.cfg" not in names:
            return False
        return not any(path == source or path.startswith(source + "/") for path in self.written)

    def entry(self, source, target):
        self.entries -= 1
        if self.entries < 0:
            raise TooLarge("more than %d files" % self.limits[1])
        found = os.lstat(source)
        if stat.S_ISDIR(found.st_mode):
            self.directory(source, target)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(source), target)
            self.looks(source, target)
        elif stat.S_ISREG(found.st_mode):
            self.file(source, target, found)
        elif stat.S_ISFIFO(found.st_mode):
            os.mkfifo(target)
            self.looks(source, target)

    def file(self, source, target, found):
        key = found.st_dev, found.st_ino
        if key in self.inodes:
            os.link(self.inodes[key], target)
            return
        if found.st_nlink > 1:
            self.inodes[key] = target
        self.bytes -= found.st_blocks * 512
        if self.bytes < 0:
            raise TooLarge("more than %d MB" % (self.limits[0] >> 20))
        read = os.open(source, os.O_RDONLY)
        try:
            write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                copy_content(read, write, found.st_size)
            finally:
                os.close(write)
        finally:
            os.close(read)
        self.looks(source, target)

    def looks(self, source, target):
        found = os.lstat(source)
        try:
            os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
        except OSError:
            # Another user's: only root can give files away.
            pass
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(target, stat.S_IMODE(found.st_mode))
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def copy_content(read, write, size):
    try:
        fcntl.ioctl(write, FICLONE, read)
        return
    except OSError:
        # Not a file system that can share blocks.
        pass
    at = 0
    while at < size:
        try:
            at = os.lseek(read, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                # Nothing but a hole is left.
                break
        data = os.pread(read, 1 << 20, at)
        if not data:
            break
        done = 0
        while done < len(data):
            done += os.pwrite(write, data[done:], at + done)
        at += len(data)
    os.ftruncate(write, size)


def works(view):
    """Whether a program could see it so: tried by a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            show(isolate(), view)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def run_copy():
    request = json.load(sys.stdin)
    copy = Copy(request)
    try:
        copy.directory(copy.project, copy.target)
    except TooLarge as error:
        return {"why": str(error)}
    except OSError as error:
        return {"why": "%s (%s)" % (error.filename or "a file", error.strerror)}
    view = {"project": copy.project, "copy": copy.target, "shared": copy.shared}
    private = works(view)
    if not private:
        for name in copy.shared:
            os.rmdir(os.path.join(copy.target, name))
            os.symlink(os.path.join(copy.project, name), os.path.join(copy.target, name))
    return {"why": None, "shared": copy.shared, "private": private}


def run_command(view, argv):
    # Not os.environ: the interpreter may have added a locale to it.
    with open("/proc/self/environ", "rb") as file:
        env = dict(line.split(b"=", 1) for line in file.read().split(b"\0") if b"=" in line)
    if view["private"]:
        show(isolate(), view)
        # A new user namespace has taken away what ties this process to the daemon's.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(view["cwd"])
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execvpe(argv[0], argv, env)


def main(verb, *rest):
    if verb == "copy":
        json.dump(run_copy(), sys.stdout)
        return
    view = json.loads(rest[0])
    try:
        run_command(view, list(rest[1:]))
    except OSError as error:
        with open(view["failure"], "w") as file:
            file.write(str(error))
        os._exit(125)


if __name__ == "__main__":
    main(*sys.argv[1:])
