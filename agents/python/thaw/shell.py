"""Terminals in services: the command line opens them, with the streams of this process."""
from __future__ import annotations

import subprocess
from typing import Sequence

from .client import thaw_command


def inside_of(name: str, command: Sequence[str] | None) -> int:
    """Raises ThawError where there is no thaw to be started."""
    verb = ["shell", name] if command is None else ["exec", name, *command]
    return subprocess.run([thaw_command(), "service", *verb]).returncode
