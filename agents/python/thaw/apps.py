"""Programs with a port that are kept warm behind a name.

    web = thaw.app(["python", "server.py"], port=8000, name="web").to(thaw.Compute(inactivity_ttl="10m"))
    web.request("GET", "/items?page=2").body
"""
from __future__ import annotations

import dataclasses
import os
from typing import Any, Iterable, Sequence
from urllib.parse import quote

from .client import Client
from .compute import Compute
from .kept import Kept, environment
from .shell import inside_of

# Of what a service is given, what holds for an app.
_GIVEN = ("env", "launch_timeout", "inactivity_ttl", "ttl_action", "timeout", "queue", "sync", "engine")


def app(command: Iterable[str], port: int, name: str, cwd: str | None = None, ready: str | None = None, network: str = "private") -> "AppSource":
    """A command that listens on a port. `cwd`: where it runs; else here. `ready`: path that answers when it is ready; else it is
    when the port is open. `network`: "private", "private+out" or "host"."""
    return AppSource({"command": list(command), "port": port, "cwd": os.path.abspath(cwd or "."), "ready": ready, "network": network}, name)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an app has answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class AppSource:
    """What is to be started; `to` makes an app of it."""

    def __init__(self, source: dict[str, Any], name: str) -> None:
        self.source = source
        self.name = name

    def to(self, compute: Compute | None = None, *, client: Client | None = None, replace: bool = False) -> "App":
        """Deploy it. Raises ThawError SERVICE_EXISTS, SERVICE_FAILED, LAUNCH_TIMEOUT, COMMAND_NOT_FOUND; ValueError for what holds
        for functions only."""
        compute = compute or Compute()
        asked, usual = compute.request(), Compute().request()
        for field in asked:
            if field not in _GIVEN and field != "concurrency" and asked[field] != usual[field]:
                raise ValueError("%s is for functions, not for an app." % field)
        given = {field: asked[field] for field in _GIVEN}
        # What is usual for functions is little for an app.
        if asked["concurrency"] != usual["concurrency"]:
            given["concurrency"] = asked["concurrency"]
        given["env"] = {**environment(), **given["env"]}
        found = App(self.name, client or Client())
        found.client.json("POST", "/v1/services/apps", {"name": self.name, "app": self.source, "compute": given, "replace": replace})
        compute.serves(self.name)
        return found


class App(Kept):
    """An app that is there."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client = client

    def shell(self, command: Sequence[str] | None = None) -> int:
        """A terminal in its environment, which is this one; or a command, with these streams. Returns the exit code."""
        return inside_of(self.name, command)

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Ask it; it is brought back first where it rests. What it does not answer itself is answered by the daemon, as
        application/problem+json. Raises ThawError when no daemon answers."""
        place = "/v1/services/%s/app" % quote(self.name, safe="")
        answer = self.client.request(method, place + path, body, headers)
        return Answer(answer.status, answer.getheaders(), answer.read())
