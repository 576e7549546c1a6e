"""What can be done with anything that is kept warm behind a name."""
from __future__ import annotations

import os
from typing import Any

from .client import Client


class Kept:
    name: str
    client: Client

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

    def remove(self) -> None:
        self.client.json("DELETE", "/v1/services/" + self.name)

    def _does(self, verb: str) -> dict[str, Any]:
        return self.client.json("POST", "/v1/services/%s/%s" % (self.name, verb))


def environment() -> dict[str, str]:
    """Of this process, without what is thaw's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("THAW_")}
