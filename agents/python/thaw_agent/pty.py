"""A pseudo terminal whose other side is the daemon's FIFOs."""
import fcntl
import os
import select
import struct
import termios

_CHUNK = 1 << 16


class Terminal:
    """Copies typed bytes from the `stdin` FIFO to the terminal, and what the
    program prints to the `stdout` FIFO, through the host's poll loop. A reader
    that does not keep up stops the copying, and with it the program."""

    def __init__(self, loop, rows, cols, stdin, stdout):
        self.loop = loop
        self.master, self.slave = os.openpty()
        self.path = os.ttyname(self.slave)
        self.resize(rows, cols)
        self.output = os.open(stdout, os.O_WRONLY | os.O_CLOEXEC)
        self.input = os.open(stdin, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if stdin else None
        for fd in (self.master, self.output):
            os.set_blocking(fd, False)
        self.printed = b""
        # Where nobody types, whoever reads from it all the same must not wait for ever.
        self.typed = b"" if stdin else self._end_of_file()
        self._watch()

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def flush(self):
        """Everything printed so far has been handed to the FIFO."""
        if self.output is None:
            return
        os.set_blocking(self.output, True)
        try:
            self._write_all(self.printed)
            self.printed = b""
            while True:
                chunk = self._read_master()
                if not chunk:
                    return
                self._write_all(chunk)
        except OSError:
            self._drop_output()
        finally:
            if self.output is not None:
                os.set_blocking(self.output, False)
                self._watch()

    def close(self):
        """Prerequisite: the program is gone. Hands over what is left."""
        self.flush()
        self._drop_output()
        for fd in (self.master, self.input):
            if fd is not None:
                self.loop.drop(fd)
                os.close(fd)
        os.close(self.slave)

    def _write_all(self, data):
        while data:
            data = data[os.write(self.output, data):]

    def _drop_output(self):
        if self.output is not None:
            self.loop.drop(self.output)
            os.close(self.output)
            self.output = None
            self.printed = b""

    def _read_master(self):
        try:
            return os.read(self.master, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:  # EIO: no process has the terminal open
            return b""

    def _on_master(self, events):
        if events & select.POLLOUT and self.typed:
            self._type()
        if events & (select.POLLIN | select.POLLHUP) and not self.printed:
            self.printed = self._read_master()
            self._print()
        self._watch()

    def _on_output(self, events):
        self._print()
        self._watch()

    def _print(self):
        if self.output is None:
            self.printed = b""
        try:
            while self.printed:
                self.printed = self.printed[os.write(self.output, self.printed):]
        except BlockingIOError:
            pass
        except OSError:
            self._drop_output()

    def _on_input(self, events):
        try:
            chunk = os.read(self.input, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if not chunk:
            # The typist has gone; a terminal says so with its end-of-file key.
            self.loop.drop(self.input)
            os.close(self.input)
            self.input = None
            chunk = self._end_of_file()
        self.typed += chunk
        self._type()
        self._watch()

    def _end_of_file(self):
        return bytes(termios.tcgetattr(self.slave)[6][termios.VEOF])

    def _type(self):
        try:
            while self.typed:
                self.typed = self.typed[os.write(self.master, self.typed):]
        except BlockingIOError:
            pass

    def _watch(self):
        """Asks poll only for what can be used now."""
        wanted = (0 if self.printed else select.POLLIN) | (select.POLLOUT if self.typed else 0)
        self.loop.drop(self.master)
        self.loop.add(self.master, wanted, self._on_master)
        if self.input is not None:
            self.loop.drop(self.input)
            self.loop.add(self.input, 0 if self.typed else select.POLLIN, self._on_input)
        if self.output is not None:
            self.loop.drop(self.output)
            if self.printed:
                self.loop.add(self.output, select.POLLOUT, self._on_output)
