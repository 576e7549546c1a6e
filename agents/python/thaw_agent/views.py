"""What a process sees in a project's place: a copy of it. Without the rest of the agent: private.py uses it on any Python."""
import ctypes
import os

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 1, 32, 4096, 16384, 1 << 19


def isolate():
    """A mount namespace of this process's own. Raises OSError where that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result):
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    if libc.unshare(CLONE_NEWNS) != 0:
        uid, gid = os.getuid(), os.getgid()
        check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        for name, text in (("setgroups", "deny"), ("uid_map", "%d %d 1" % (uid, uid)), ("gid_map", "%d %d 1" % (gid, gid))):
            with open("/proc/self/" + name, "w") as file:
                file.write(text)

    def mount(source, target, flags):
        names = [None if name is None else os.fsencode(name) for name in (source, target)]
        check(libc.mount(names[0], names[1], None, ctypes.c_ulong(flags), None))

    mount(None, "/", MS_REC | MS_SLAVE)
    return mount


def show(mount, view):
    """The copy in the project's place, with what is shared in it."""
    for name in view["shared"]:
        target = os.path.join(view["copy"], name)
        mount(os.path.join(view["project"], name), target, MS_BIND | MS_REC)
        try:
            mount(None, target, MS_REMOUNT | MS_BIND | MS_RDONLY)
        except OSError:
            # Flags of the mount it is taken from are locked in a user namespace, and may not be dropped.
            flags = os.statvfs(target).f_flag & ~MS_RDONLY & 0xf
            mount(None, target, MS_REMOUNT | MS_BIND | MS_RDONLY | flags)
    mount(view["copy"], view["project"], MS_BIND | MS_REC)
