"""What a service is given, and when it rests."""
from __future__ import annotations

import dataclasses
from typing import Any, Sequence

from .client import ThawError
from .shell import inside_of


@dataclasses.dataclass(frozen=True)
class Compute:
    """Times are seconds, or texts as "90s", "10m", "2h".

    launch_timeout: most time until it can be called. inactivity_ttl: time without a call after which it rests; None: never.
    ttl_action: "freeze", to disk with its state, or "stop". concurrency: calls of one worker at a time. workers: processes, forked
    after loading, each with a state of its own. queue: calls that may wait. timeout: most time of a call.
    debug_timeout: time that a call waits at a breakpoint while nobody is attached. isolation: "call" gives
    each call a fresh copy of the state right after loading. reload: what an edit does, "hot" (the state stays) or "exact" (the state
    is that of a load of the new code). sync: whether it is looked for edits at every "call", or at "deploy". engine: "process" (in a
    sandbox that can be frozen), "plain", or "auto". pickle: whether calls on this machine may carry any object. env: variables
    besides those of this process. python: interpreter; None: this one. repair: a command line that edits the code when a call raises
    an error (docs/repair.md, `--with`), after which the call is made again.
    """

    launch_timeout: float | str = 60
    inactivity_ttl: float | str | None = None
    ttl_action: str = "freeze"
    concurrency: int = 16
    workers: int = 1
    queue: int = 100
    timeout: float | str | None = None
    debug_timeout: float | str = 60
    isolation: str = "service"
    reload: str = "hot"
    sync: str = "call"
    engine: str = "auto"
    pickle: bool = False
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    python: str | None = None
    repair: str | None = None

    def serves(self, name: str) -> None:
        """Told by `to`: this is what the service is given."""
        object.__setattr__(self, "_service", name)

    def ssh(self, command: Sequence[str] | None = None) -> int:
        """A terminal in the environment of the service that was made with this last; or a command, with these streams. Returns the
        exit code."""
        name = getattr(self, "_service", None)
        if name is None:
            raise ThawError("USAGE", "Nothing was made with this: call `to` with it first.")
        return inside_of(name, command)

    def request(self) -> dict[str, Any]:
        request = dataclasses.asdict(self)
        if self.repair is not None:
            request["repair"] = {"repairer": {"kind": "command", "command": self.repair}}
        return request
