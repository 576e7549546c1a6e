"""JSON lines over a private unix socket."""
import _json
import _socket
import fcntl
import os

from .layout import hide_module

# High enough that a program which counts or closes descriptors from the bottom does not meet it.
LOWEST = 900
# Asks how many bytes have arrived.
FIONREAD = 0x541B


class _Scanning:
    """What the interpreter's JSON scanner wants to know. The json package itself would bring `re` and `enum` into a program
    that may not have them."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan = _json.make_scanner(_Scanning())
_quote = _json.encode_basestring_ascii


def decode(text):
    return _scan(text, 0)[0]


def encode(value):
    """JSON of what messages are made of: text, numbers, None, booleans, lists, tuples, dictionaries with text keys."""
    kind = type(value)
    if kind is str:
        return _quote(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return int.__repr__(value)
    if kind is float:
        return float.__repr__(value)
    if kind is dict:
        return "{" + ",".join([_quote(k) + ":" + encode(v) for k, v in value.items()]) + "}"
    return "[" + ",".join([encode(v) for v in value]) + "]"


class Wire:
    """One connection to the daemon. A lost connection is remembered, never raised into user code."""

    def __init__(self, path):
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self.fd = -1
        try:
            sock.connect(path)
            self.fd = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, LOWEST)
        except (OSError, ValueError):
            # A low limit on descriptors: any number will do.
            try:
                self.fd = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
                os.fstat(self.fd)
            except OSError:
                self.fd = -1
        finally:
            sock.close()
        self.identity = self._identity()
        self.buffer = b""
        self.sent = 0

    def _identity(self):
        try:
            found = os.fstat(self.fd)
            return found.st_dev, found.st_ino
        except OSError:
            return None

    def ours(self):
        """Whether the descriptor is still the connection: programs close descriptors wholesale and use their numbers anew."""
        if self.fd >= 0 and self._identity() != self.identity:
            self.fd = -1
        return self.fd >= 0

    def send(self, message):
        if not self.ours():
            return False
        data = encode(message).encode("ascii") + b"\n"
        try:
            while data:
                some = os.write(self.fd, data)
                self.sent += some
                data = data[some:]
        except OSError:
            self.close()
            return False
        return True

    def waiting(self):
        """Whether a message has arrived."""
        if b"\n" in self.buffer:
            return True
        try:
            return self.ours() and any(fcntl.ioctl(self.fd, FIONREAD, bytes(4)))
        except OSError:
            return False

    def receive(self):
        """The next message; None when the connection is gone."""
        while b"\n" not in self.buffer:
            try:
                more = os.read(self.fd, 1 << 20) if self.fd >= 0 else b""
            except OSError:
                more = b""
            if not more:
                self.close()
                return None
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return decode(line.decode())

    def close(self):
        if self.ours():
            try:
                os.close(self.fd)
            except OSError:
                pass
            self.fd = -1


hide_module(globals())
