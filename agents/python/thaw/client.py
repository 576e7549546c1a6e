"""The daemon, as Python reaches it: over its unix socket, or over HTTP with a token. Standard library only."""
from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Any, Iterator
from urllib.parse import quote, urlencode, urlsplit


class ThawError(Exception):
    """What thaw could not do. `code` is one of its catalogue (docs/errors), `hint` what to do, `details` what is known of it."""

    def __init__(self, code: str, message: str, hint: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.details = details or {}

    def __str__(self) -> str:
        return "%s: %s%s" % (self.code, self.args[0], " " + self.hint if self.hint else "")


class RemoteTraceback(Exception):
    """Shows the traceback of the process in which an error was raised; the cause of that error here."""

    def __init__(self, text: str, version: str) -> None:
        super().__init__(text)
        self.text = text
        self.version = version

    def __str__(self) -> str:
        return "\n(code %s)\n%s" % (self.version, self.text)


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def socket_path() -> str:
    """Where the daemon of this user listens, as packages/thaw/src/system/paths.ts has it."""
    env = os.environ
    if env.get("THAW_HOME"):
        return os.path.join(os.path.abspath(env["THAW_HOME"]), "run", "daemon.sock")

    def absolute(name: str) -> str | None:
        value = env.get(name, "")
        return value if value.startswith("/") else None

    home = absolute("HOME") or os.path.expanduser("~")
    state = os.path.join(absolute("XDG_STATE_HOME") or os.path.join(home, ".local", "state"), "thaw")
    digest = hashlib.sha1(state.encode()).hexdigest()[:8]
    base = absolute("XDG_RUNTIME_DIR")
    if base is not None:
        return os.path.join(base, "thaw-" + digest, "daemon.sock")
    base = absolute("TMPDIR") or tempfile.gettempdir()
    return os.path.join(base, "thaw-%d-%s" % (os.getuid(), digest), "daemon.sock")


class Client:
    """Calls the daemon. A connection is kept for each thread.

    `url`: where a daemon listens over TCP, as http://127.0.0.1:18080; with nothing (and without THAW_URL) the one of this user on
    this machine, which is started when it does not run. `token`: as `thaw daemon token create` made it; else THAW_TOKEN.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.url = url or os.environ.get("THAW_URL") or None
        self.token = token or os.environ.get("THAW_TOKEN") or None
        self._local = threading.local()

    @property
    def is_local(self) -> bool:
        return self.url is None

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """One request; its answer is not read yet. Raises ThawError when no daemon answers."""
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("content-type", "application/json")
        if self.token is not None and self.url is not None:
            sent["authorization"] = "Bearer " + self.token
        connection, fresh = getattr(self._local, "connection", None), False
        if connection is None or connection[0] != os.getpid():
            connection, fresh = (os.getpid(), self._connect()), True
            self._local.connection = connection
        try:
            connection[1].request(method, path, body, sent)
            return connection[1].getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.forget()
            # A connection that had been idle may have been closed before anything of the request was seen.
            if fresh:
                raise ThawError("DAEMON_LOST", "The daemon went away before it had answered.") from error
            return self.request(method, path, body, headers)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self.forget()
            if not fresh or self.url is not None:
                raise ThawError("DAEMON_UNREACHABLE", "No daemon answers at %s." % (self.url or socket_path())) from error
            start_daemon()
            return self.request(method, path, body, headers)
        except BaseException:
            # Whoever is interrupted takes the call back: the daemon sees the connection end.
            self.forget()
            raise

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """One request and its answer as JSON. Raises ThawError."""
        text = None if body is None else json.dumps(body).encode()
        answer = self.request(method, path, text)
        content = answer.read()
        if answer.status >= 300:
            raise problem(content)
        return json.loads(content) if content else None

    def send(self, path: str, content: bytes) -> None:
        """Bytes, put where they are asked for. Raises ThawError."""
        answer = self.request("PUT", path, content, {"content-type": "application/octet-stream"})
        told = answer.read()
        if answer.status >= 300:
            raise problem(told)

    def hold(self) -> "Hold":
        return Hold(self)

    def forget(self) -> None:
        """Close the connection of this thread."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection[1].close()

    def _connect(self) -> http.client.HTTPConnection:
        if self.url is None:
            return _Unix(socket_path())
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "127.0.0.1", parts.port)


class Hold:
    """The calls of a thread, which another thread may take back."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.local: Any = None

    def __enter__(self) -> None:
        self.local = self.client._local.__dict__

    def __exit__(self, *_: Any) -> None:
        self.local = None

    def hang_up(self) -> None:
        connection = (self.local or {}).get("connection")
        if connection is not None and connection[1].sock is not None:
            try:
                connection[1].sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def thaw_command() -> str:
    """Raises ThawError where there is none."""
    program = os.environ.get("THAW_COMMAND") or shutil.which("thaw")
    if program is None:
        raise ThawError("COMMAND_NOT_FOUND", "There is no `thaw` on PATH.", "Set THAW_COMMAND to it.")
    return program


def start_daemon() -> None:
    """Raises ThawError where there is no thaw to start."""
    done = subprocess.run([thaw_command(), "daemon", "start"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise ThawError("DAEMON_START_FAILED", done.stderr.strip() or "thaw daemon start failed.")


def problem(content: bytes) -> ThawError:
    """An answer that is a refusal."""
    try:
        told = json.loads(content)
        return ThawError(told["code"], told["message"], told.get("hint", ""), told.get("details"))
    except (ValueError, KeyError, TypeError):
        return ThawError("INTERNAL", content[:500].decode("utf-8", "replace"))


def events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Server-sent events of an answer: their names, and their data as JSON."""
    name = ""
    for line in answer:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


def raised(error: ThawError) -> BaseException:
    """An error that a function raised, as its own type where that is loaded here; else a ThawError."""
    details = error.details
    kind = None
    module = sys.modules.get(details.get("module", ""))
    if module is not None:
        kind = module
        for part in details.get("type", "").split("."):
            kind = getattr(kind, part, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        kind = None
    cause = RemoteTraceback(details.get("traceback", ""), details.get("version", ""))
    if kind is None:
        error.__cause__ = cause
        return error
    try:
        own = kind.__new__(kind)
        args = details.get("args")
        own.args = tuple(args) if isinstance(args, list) else (details.get("message", ""),)
    except Exception:
        error.__cause__ = cause
        return error
    own.__cause__ = cause
    own.thaw = error
    return own


def call_path(name: str, function: str, query: dict[str, Any]) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return "/v1/services/%s/call/%s%s" % (quote(name, safe=""), quote(function, safe=""), "?" + urlencode(given) if given else "")


def decoded(told: dict[str, Any], pickled: bool) -> Any:
    if told["kind"] == "json":
        return told["result"]
    content = base64.b64decode(told["result"])
    if told["kind"] == "bytes":
        return content
    if not pickled:
        raise ThawError("RESULT_REFUSED", "The answer is pickled, which was not asked for.")
    import pickle

    return pickle.loads(content)
