"""Functions, classes and modules that are kept warm behind a name.

    remote = thaw.fn(score, name="scorer").to(thaw.Compute(launch_timeout=60, inactivity_ttl="10m"))
    remote(3, y=2)            # the first call starts it; later calls take about as long as the function
    await remote.aio(3, y=2)
"""
from __future__ import annotations

import asyncio
import builtins
import inspect
import json
import os
import sys
import types
from typing import Any, Callable, Sequence

from .client import Client, ThawError, call_path, decoded, events, problem, raised
from .code import Sender
from .shell import inside_of
from .compute import Compute


def fn(function: Callable[..., Any], name: str | None = None) -> "Source":
    """A function at module level. `name`: of the service; else the function's."""
    if "<locals>" in function.__qualname__ or function.__name__ == "<lambda>":
        raise TypeError("%s is not defined at module level, and could not be found there." % function.__qualname__)
    return Source(file_of(function), name or function.__name__, [function.__qualname__], None, function)


def cls(kind: type, *args: Any, name: str | None = None, **kwargs: Any) -> "Source":
    """A class, and what its object is made with: its methods are called."""
    made = {"name": kind.__qualname__, "args": list(args), "kwargs": kwargs}
    return Source(file_of(kind), name or kind.__name__.lower(), None, made, kind)


def module(given: types.ModuleType | str, name: str | None = None) -> "Source":
    """All public functions of a module, or of a file."""
    file = given if isinstance(given, str) else given.__file__
    if file is None:
        raise TypeError("%s has no file." % given)
    stem = os.path.splitext(os.path.basename(file))[0]
    return Source(os.path.abspath(file), name or stem, None, None, given)


def file_of(thing: Any) -> str:
    file = inspect.getsourcefile(thing)
    if file is None or not os.path.exists(file):
        raise TypeError("%r has no file: what was typed into an interpreter cannot be loaded elsewhere." % thing)
    return os.path.abspath(file)


class Source:
    """What is to be called; `to` makes a service of it."""

    def __init__(self, file: str, name: str, callables: list[str] | None, made: dict[str, Any] | None, thing: Any) -> None:
        self.file = file
        self.name = name
        self.callables = callables
        self.made = made
        self.thing = thing

    def to(self, compute: Compute | None = None, *, client: Client | None = None, replace: bool = False, stream: bool = True, upload: bool | None = None) -> "Service":
        """Deploy it, and return what calls it. `stream`: what a call prints is printed here as well. `upload`: whether the code is
        sent, and what has changed of it with later calls; None: where the daemon is reached over TCP."""
        compute = compute or Compute()
        client = client or Client()
        service = Service(self, compute, client, stream, not client.is_local if upload is None else upload)
        compute.serves(self.name)
        # The service's own process loads this very file, and would wait for itself.
        if not inside():
            service.deploy(replace)
        return service


def inside() -> bool:
    """Whether this is the process of a service."""
    return getattr(builtins, "__thaw_service__", False)


class Service:
    """A service, called like the function it is for; of a class or a module its methods and functions are attributes."""

    def __init__(self, source: Source, compute: Compute, client: Client, stream: bool, upload: bool = False) -> None:
        self.source = source
        self.sender = Sender(client, source.name, source.file) if upload else None
        self.compute = compute
        self.client = client
        self.stream = stream
        self.name = source.name
        self.version: str | None = None
        """Of the code that answered the last call."""

    def deploy(self, replace: bool = False) -> dict[str, Any]:
        """Bring it to the code of now. Raises ThawError SERVICE_EXISTS, SERVICE_FAILED, SYNTAX_ERROR, LAUNCH_TIMEOUT."""
        source = self.source
        compute = self.compute.request()
        place: dict[str, Any] = {"file": source.file}
        if self.sender is not None:
            # Another machine has an interpreter and an environment of its own.
            self.sender.send()
            place = self.sender.source
        else:
            compute["python"] = compute["python"] or sys.executable
            own = {name: value for name, value in os.environ.items() if not name.startswith("THAW_")}
            compute["env"] = {**own, **compute["env"]}
        found = self.client.json("POST", "/v1/services", {
            "name": source.name,
            "source": {**place, "callables": source.callables, "class": source.made},
            "compute": compute,
            "replace": replace,
        })
        self.version = found["version"]
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(self._only(), args, kwargs)

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """The same, awaited; cancelling it cancels the call."""
        return await self._later(self._only(), args, kwargs)

    def __getattr__(self, name: str) -> "Method":
        if name.startswith("_") or self.source.callables is not None:
            raise AttributeError(name)
        return Method(self, name)

    def call(
        self,
        function: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
        version: str | None = None,
        isolation: str | None = None,
    ) -> Any:
        """Call a function by its name. Raises what the function raised, as its own type where that is loaded here, with the
        traceback of there as its cause; ThawError for what did not reach it, or did not come back."""
        if inside():
            return self._here(function)(*args, **(kwargs or {}))
        if self.sender is not None and self.compute.sync == "call":
            self.sender.send()
        pickled = self.compute.pickle and self.client.is_local
        headers = {"accept": "text/event-stream"}
        if pickled:
            import pickle

            body = pickle.dumps((tuple(args), kwargs or {}))
            headers["content-type"] = "application/x-python-pickle"
        elif len(args) == 1 and not kwargs and isinstance(args[0], (bytes, bytearray)):
            body = bytes(args[0])
            headers["content-type"] = "application/octet-stream"
        else:
            body = json.dumps({"args": list(args), "kwargs": kwargs or {}}).encode()
        path = call_path(self.name, function, {"timeout": timeout, "version": version, "isolation": isolation})
        answer = self.client.request("POST", path, body, headers)
        if answer.status != 200:
            raise problem(answer.read())
        try:
            for event, told in events(answer):
                if event in ("stdout", "stderr"):
                    if self.stream:
                        getattr(sys, event).write(told["text"])
                        getattr(sys, event).flush()
                elif event == "result":
                    self.version = told["version"]
                    answer.read()
                    return decoded(told, pickled)
                elif event == "error":
                    answer.read()
                    error = problem(json.dumps(told).encode())
                    raise raised(error) if error.code == "CALL_RAISED" else error
        except BaseException:
            if not answer.isclosed():
                self.client.forget()
            raise
        raise ThawError("DAEMON_LOST", "The daemon went away before the call had ended.")

    def show(self) -> dict[str, Any]:
        """All that is known of it."""
        return self.client.json("GET", "/v1/services/" + self.name)

    def reset(self) -> dict[str, Any]:
        """Back to the state right after loading."""
        return self._does("reset")

    def restart(self) -> dict[str, Any]:
        return self._does("restart")

    def freeze(self) -> dict[str, Any]:
        """To disk, with its state; the next call brings it back."""
        return self._does("freeze")

    def thaw(self) -> dict[str, Any]:
        return self._does("thaw")

    def stop(self) -> dict[str, Any]:
        return self._does("stop")

    def shell(self, command: Sequence[str] | None = None) -> int:
        """A terminal in its environment, which is this one; or a command, with these streams. Returns the exit code."""
        return inside_of(self.name, command)

    def remove(self) -> None:
        self.client.json("DELETE", "/v1/services/" + self.name)

    def _does(self, verb: str) -> dict[str, Any]:
        return self.client.json("POST", "/v1/services/%s/%s" % (self.name, verb))

    async def _later(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hold = self.client.hold()

        def work() -> Any:
            with hold:
                return self.call(function, args, kwargs)

        try:
            return await asyncio.to_thread(work)
        except asyncio.CancelledError:
            hold.hang_up()
            raise

    def _only(self) -> str:
        if self.source.callables is not None:
            return self.source.callables[0]
        if self.source.made is not None:
            return "__call__"
        raise TypeError("%s has many functions; call one of them by its name." % self.name)

    def _here(self, function: str) -> Callable[..., Any]:
        thing = self.source.thing
        if self.source.callables is not None:
            return thing
        if self.source.made is not None:
            thing = thing(*self.source.made["args"], **self.source.made["kwargs"])
        return getattr(thing, function)


class Method:
    """One function of a service."""

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.service.call(self.name, args, kwargs)

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        return await self.service._later(self.name, args, kwargs)
