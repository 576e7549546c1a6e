"""Frames between the daemon and the processes of a service, over a private unix socket: two lengths (32 bits each, big endian), a
message in JSON, and bytes that nobody on the way looks into (arguments, results, output)."""
import json
import os
import socket
import struct
import threading
import time

LENGTHS = struct.Struct(">II")
# Between two attempts to find the daemon again. Seconds.
PAUSE = 0.003
# So long the daemon may take to hear the end of a connection. Seconds.
LAST = 1

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Gone(Exception):
    """The daemon has closed the connection."""


class Line:
    """One connection. Its first message tells whose it is."""

    def __init__(self, path, hello):
        self.path = path
        self.hello = hello
        self.lock = threading.Lock()
        self.socket = None
        self.have = bytearray()
        self._connect()

    def _connect(self):
        new = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            new.connect(self.path)
        except BaseException:
            new.close()
            raise
        self.have.clear()
        self.socket = new
        self.send(self.hello)

    def send(self, message, body=b""):
        text = _encode(message).encode()
        try:
            with self.lock:
                self.socket.sendall(b"".join((LENGTHS.pack(len(text), len(body)), text, body)))
        except OSError as error:
            raise Gone from error

    def receive(self):
        """The next message and its bytes. Raises Gone."""
        have, take = self.have, self.socket.recv
        try:
            while len(have) < 8:
                self._more(take(65536))
            text, body = LENGTHS.unpack_from(have)
            whole = 8 + text + body
            while len(have) < whole:
                self._more(take(min(max(whole - len(have), 65536), 1 << 20)))
        except OSError as error:
            raise Gone from error
        message = json.loads(bytes(have[8 : 8 + text]))
        rest = bytes(have[8 + text : whole])
        del have[:whole]
        return message, rest

    def _more(self, chunk):
        if not chunk:
            raise Gone
        self.have += chunk

    def part(self):
        """Let go of the connection, which a copy of the process cannot hold, and come back when the daemon listens again: here,
        where the copy failed, or in the copy."""
        self.close()
        while True:
            time.sleep(PAUSE)
            # No socket is made before: a copy of the process cannot hold one that is half connected.
            if os.path.exists(self.path):
                try:
                    self._connect()
                    return
                except (OSError, Gone):
                    pass

    def finish(self):
        """Close, once the daemon has had all: where it still writes to a closed connection, it would lose what it has not read."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(LAST)
            while self.socket.recv(65536):
                pass
        except OSError:
            pass
        self.close()

    def close(self):
        self.socket.close()
