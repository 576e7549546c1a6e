"""What leads from a process to itself: pipes, socket pairs, event counters, and the poll sets that watch them.

An event loop consists of these. A clone shares them with its original until it makes equal ones of its own, with the bytes
that wait in them; a pipe or a pair is only the process's own when it holds both ends, and no other process ever got one.
"""
import ctypes
import fcntl
import posix

import _socket

from .layout import hide_module

libc = ctypes.PyDLL(None, use_errno=True)
FIONREAD = 0x541B
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032
SPLICE_F_NONBLOCK = 2
EPOLL_CTL_ADD = 1
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1
UDIAG_SHOW_PEER, UNIX_DIAG_PEER, UNIX_DIAG_SHUTDOWN = 4, 2, 6
EVENT_COUNTER, POLL_SET = "anon_inode:[eventfd]", "anon_inode:[eventpoll]"
# Flags of a description that can be set again.
SETTABLE = posix.O_NONBLOCK | posix.O_APPEND


class Foreign(Exception):
    """Why something cannot be made anew."""


def _word(data, at, size=4):
    return int.from_bytes(data[at : at + size], "little")


def _waiting(fd):
    return _word(fcntl.ioctl(fd, FIONREAD, bytes(4)), 0)


class Renewed:
    """Gives descriptors a new description."""

    __slots__ = ()

    @staticmethod
    def put(fresh, fds, flags):
        fcntl.fcntl(fresh, fcntl.F_SETFL, flags & SETTABLE)
        for fd in fds:
            posix.dup2(fresh, fd, posix.get_inheritable(fd))
        posix.close(fresh)


class Pipe(Renewed):
    __slots__ = ("readers", "writers", "flags", "size", "data")

    def __init__(self, readers, writers):
        self.readers, self.writers = readers[0], writers[0]
        self.flags = readers[1], writers[1]
        if (self.flags[0] | self.flags[1]) & posix.O_DIRECT:
            raise Foreign("open packet pipe")
        self.size = fcntl.fcntl(self.readers[0], F_GETPIPE_SZ)
        self.data = self._peek(self.readers[0], _waiting(self.readers[0]))

    def _peek(self, fd, size):
        if not size:
            return b""
        inner, outer = posix.pipe()
        try:
            fcntl.fcntl(outer, F_SETPIPE_SZ, self.size)
            copied = libc.tee(fd, outer, ctypes.c_size_t(size), SPLICE_F_NONBLOCK)
            if copied != size:
                raise Foreign("open pipe whose content cannot be copied")
            data = b""
            while len(data) < size:
                data += posix.read(inner, size - len(data))
            return data
        finally:
            posix.close(inner)
            posix.close(outer)

    def renew(self):
        inner, outer = posix.pipe()
        fcntl.fcntl(outer, F_SETPIPE_SZ, self.size)
        if self.data:
            posix.write(outer, self.data)
        self.put(inner, self.readers, self.flags[0])
        self.put(outer, self.writers, self.flags[1])


class Pair(Renewed):
    __slots__ = ("ends", "flags", "data")

    def __init__(self, one, other):
        self.ends, self.flags = (one[0], other[0]), (one[1], other[1])
        self.data = [self._peek(fds[0]) for fds in self.ends]

    @staticmethod
    def _peek(fd):
        size = _waiting(fd)
        end = _socket.socket(fileno=fd)
        try:
            if end.type & 15 != _socket.SOCK_STREAM or _options(end) != _usual():
                raise Foreign("open socket pair of an unusual kind")
            if not size:
                return b""
            data, _, flags, _ = end.recvmsg(size, 0, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
            if len(data) != size or flags & _socket.MSG_CTRUNC:
                raise Foreign("open socket pair whose content cannot be copied")
            return data
        finally:
            end.detach()

    def renew(self):
        one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        # What waits at one end was sent from the other.
        if self.data[0]:
            other.sendall(self.data[0])
        if self.data[1]:
            one.sendall(self.data[1])
        self.put(one.detach(), self.ends[0], self.flags[0])
        self.put(other.detach(), self.ends[1], self.flags[1])


OPTIONS = (_socket.SO_SNDBUF, _socket.SO_RCVBUF, _socket.SO_PASSCRED, _socket.SO_RCVLOWAT, 20, 21)
_usual_options = []


def _options(end):
    return [end.getsockopt(_socket.SOL_SOCKET, option, 16) for option in OPTIONS]


def _usual():
    if not _usual_options:
        one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        _usual_options.extend(_options(one))
        one.close()
        other.close()
    return _usual_options


class Counter(Renewed):
    """An eventfd."""

    __slots__ = ("fds", "flags", "count", "semaphore")

    def __init__(self, fds, flags, told):
        self.fds, self.flags = fds, flags
        if b"eventfd-semaphore" not in told:
            raise Foreign("open eventfd")
        self.count, self.semaphore = int(told[b"eventfd-count"], 16), int(told[b"eventfd-semaphore"])

    def renew(self):
        fresh = posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK | (posix.EFD_SEMAPHORE if self.semaphore else 0))
        if self.count:
            posix.write(fresh, self.count.to_bytes(8, "little"))
        self.put(fresh, self.fds, self.flags)


class PollSet(Renewed):
    """An epoll descriptor. Made anew when everything it watches has been."""

    __slots__ = ("fds", "flags", "watched")

    def __init__(self, fds, flags, watched):
        self.fds, self.flags, self.watched = fds, flags, []
        for line in watched:
            told = line.replace(b":", b": ").split()
            fields = dict(zip(told[::2], told[1::2]))
            fd = int(fields[b"tfd:"])
            try:
                ours = posix.fstat(fd).st_ino == int(fields[b"ino:"], 16)
            except OSError:
                ours = False
            if not ours or posix.readlink("/proc/self/fd/%d" % fd) == POLL_SET:
                raise Foreign("open epoll descriptor that watches what is closed, or another one")
            self.watched.append((fd, int(fields[b"events:"], 16), int(fields[b"data:"], 16)))
        # As they were added, as far as the kernel tells.
        self.watched.sort()

    def renew(self, watch):
        fresh = libc.epoll_create1(posix.O_CLOEXEC)
        if fresh < 0:
            raise OSError(ctypes.get_errno(), "epoll_create1")
        for fd, events, data in self.watched if watch else ():
            entry = events.to_bytes(4, "little") + data.to_bytes(8, "little")
            if libc.epoll_ctl(fresh, EPOLL_CTL_ADD, fd, entry):
                raise OSError(ctypes.get_errno(), "epoll_ctl")
        self.put(fresh, self.fds, self.flags)


def may_renew(path):
    """Whether an open descriptor is of a kind that may lead nowhere else."""
    return path.startswith(("pipe:[", "socket:[")) or path in (EVENT_COUNTER, POLL_SET)


def _peer(inode):
    """The inode of a unix socket's other end. Raises Foreign where it is not known, or half closed."""
    request = (40).to_bytes(4, "little") + SOCK_DIAG_BY_FAMILY.to_bytes(2, "little") + NLM_F_REQUEST.to_bytes(2, "little") + bytes(8)
    request += bytes([_socket.AF_UNIX, 0, 0, 0]) + b"\xff" * 4 + (inode & 0xFFFFFFFF).to_bytes(4, "little")
    request += UDIAG_SHOW_PEER.to_bytes(4, "little") + b"\xff" * 8
    link = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    try:
        link.settimeout(1)
        link.send(request)
        answer = link.recv(1 << 12)
    finally:
        link.close()
    if _word(answer, 4, 2) != SOCK_DIAG_BY_FAMILY:
        return 0
    peer, at, end = 0, 32, _word(answer, 0)
    while at + 4 <= end:
        size, kind = _word(answer, at, 2), _word(answer, at + 2, 2)
        if kind == UNIX_DIAG_PEER:
            peer = _word(answer, at + 4)
        if kind == UNIX_DIAG_SHUTDOWN and answer[at + 4]:
            return 0
        at += max(4, (size + 3) & ~3)
    return peer


def collect(found):
    """Channels, and poll sets, for descriptors [(fds, flags, inode, path, fdinfo)]. Raises Foreign, or OSError."""
    pipes, sockets, out, polls = {}, {}, [], []
    for fds, flags, inode, path, told in found:
        if path.startswith("pipe:["):
            pipes.setdefault(inode, []).append((fds, flags))
        elif path.startswith("socket:["):
            sockets[inode] = fds, flags
        elif path == EVENT_COUNTER:
            out.append(Counter(fds, flags, dict(line.split(b":", 1) for line in told.splitlines() if b":" in line)))
        else:
            polls.append(PollSet(fds, flags, [line for line in told.splitlines() if line.startswith(b"tfd:")]))
    for ends in pipes.values():
        ends.sort(key=_mode)
        if [_mode(end) for end in ends] != [posix.O_RDONLY, posix.O_WRONLY]:
            raise Foreign("open pipe (descriptor %d)" % ends[0][0][0])
        out.append(Pipe(*ends))
    while sockets:
        inode, end = sockets.popitem()
        other = sockets.pop(_peer(inode), None)
        if other is None:
            raise Foreign("open socket (descriptor %d)" % end[0][0])
        out.append(Pair(end, other))
    return out, polls


def _mode(end):
    return end[1] & posix.O_ACCMODE


hide_module(globals())
