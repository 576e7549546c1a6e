"""The files of a project that are sent to a daemon on another machine."""
from __future__ import annotations

import hashlib
import os
import re
import socket
from typing import Any, Callable, Iterator

from .client import Client, ThawError

# As packages/thaw/src/cli/code.ts has them.
NEVER = [".git", ".hg", ".svn", "__pycache__", "*.pyc", ".venv", "venv", "node_modules", ".thaw"]
IGNORES = (".gitignore", ".thawignore")
MARKERS = (".git", "pyproject.toml", "setup.py", "setup.cfg", "thaw.toml")


def project_of(file: str) -> str:
    """The nearest directory upwards with a project's marker, but no home directory; else the one in which the file's package is."""
    home = os.path.realpath(os.path.expanduser("~"))
    directory = own = os.path.dirname(os.path.realpath(file))
    while directory not in ("/", home):
        if any(os.path.exists(os.path.join(directory, marker)) for marker in MARKERS):
            return directory
        directory = os.path.dirname(directory)
    while os.path.exists(os.path.join(own, "__init__.py")):
        own = os.path.dirname(own)
    return own


class Sender:
    """Keeps the code of one service on the daemon's machine as it is here."""

    def __init__(self, client: Client, name: str, file: str) -> None:
        self.client = client
        self.name = name
        self.top = project_of(file)
        self.path = os.path.relpath(os.path.realpath(file), self.top)
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}
        self._told: dict[str, str] | None = None
        self.root = ""
        """Where the code is there."""
        self.sent: list[str] = []
        """Files whose contents travelled the last time that something had changed."""

    def send(self) -> None:
        """Brings the daemon to the files of now: nothing travels when nothing has changed, else the names, and what is new of the
        contents. Raises ThawError PAYLOAD_TOO_LARGE, DISK_FULL."""
        found = dict(files_in(self.top))
        digests = {path: self._digest(path, file) for path, file in found.items()}
        if digests == self._told:
            return
        listed = [{"path": path, "sha256": sha, "bytes": os.path.getsize(found[path])} for path, sha in digests.items()]
        manifest = {"origin": "%s:%s" % (socket.gethostname(), self.top), "files": listed}
        where = "/v1/services/%s/code" % self.name
        answer = self.client.json("PUT", where, manifest)
        self.sent = []
        for sha in answer["missing"]:
            path = next(path for path, one in digests.items() if one == sha)
            with open(found[path], "rb") as file:
                self.client.send("%s/%s" % (where, sha), file.read())
            self.sent.append(path)
        if answer["missing"]:
            answer = self.client.json("PUT", where, manifest)
            if answer["missing"]:
                raise ThawError("INTERNAL", "%d contents that were sent have not arrived." % len(answer["missing"]))
        self.root = answer["root"]
        self._told = digests

    @property
    def source(self) -> dict[str, Any]:
        return {"file": "/".join((self.root, self.path)), "root": self.root}

    def _digest(self, path: str, file: str) -> str:
        stat = os.stat(file)
        stamp = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        with open(file, "rb") as content:
            sha = hashlib.sha256(content.read()).hexdigest()
        self._known[path] = (stamp, sha)
        return sha


def files_in(top: str) -> Iterator[tuple[str, str]]:
    """Paths below a directory, and the files that they are, those left out that ignore files name, and links that lead out."""
    top = os.path.realpath(top)

    def walk(directory: str, prefix: str, above: list[tuple[str, list[Rule]]], seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        rules = above + [(prefix, rules_of(directory))]
        for name in sorted(os.listdir(directory)):
            target = os.path.realpath(os.path.join(directory, name))
            if not target.startswith(top + os.sep) or ignored(prefix + name, os.path.isdir(target), rules):
                continue
            if os.path.isdir(target):
                if target not in seen:
                    yield from walk(target, prefix + name + "/", rules, seen + (target,))
            elif os.path.isfile(target):
                yield prefix + name, target

    yield from walk(top, "", [("", [rule for line in NEVER for rule in as_rule(line)])], (top,))


Rule = Callable[[str, bool], "bool | None"]


def rules_of(directory: str) -> list[Rule]:
    found: list[Rule] = []
    for name in IGNORES:
        try:
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
                for line in file:
                    found += as_rule(line.rstrip("\n"))
        except OSError:
            pass
    return found


def as_rule(line: str) -> list[Rule]:
    """A line of an ignore file, as gitignore(5) has it."""
    line = re.sub(r"(?<!\\)\s+$", "", line)
    if not line or line.startswith("#"):
        return []
    keeps = line.startswith("!")
    pattern = line[1:] if keeps else line
    only_directories = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    anchored = "/" in pattern
    pattern = pattern.lstrip("/")
    if not pattern:
        return []
    whole = re.compile(("" if anchored else "(?:.*/)?") + translated(pattern) + r"\Z", re.S)

    def rule(path: str, is_directory: bool) -> bool | None:
        if only_directories and not is_directory:
            return None
        return not keeps if whole.match(path) else None

    return [rule]


def translated(pattern: str) -> str:
    out, at = "", 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/") and (at == 0 or pattern[at - 1] == "/"):
            out, at = out + "(?:.*/)?", at + 3
        elif rest == "**" and at > 0 and pattern[at - 1] == "/":
            out, at = out + ".+", at + 2
        elif rest[0] == "*":
            out, at = out + "[^/]*", at + len(rest) - len(rest.lstrip("*"))
        elif rest[0] == "?":
            out, at = out + "[^/]", at + 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            inner = rest[1:end].replace("\\", "\\\\")
            out, at = out + "[%s]" % ("^" + inner[1:] if inner[0] in "!^" else inner), at + end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            out, at = out + re.escape(rest[1]), at + 2
        else:
            out, at = out + re.escape(rest[0]), at + 1
    return out


def ignored(path: str, is_directory: bool, rules: list[tuple[str, list[Rule]]]) -> bool:
    """The last line of the nearest file that names it decides."""
    for below, lines in reversed(rules):
        for line in reversed(lines):
            told = line(path[len(below):], is_directory)
            if told is not None:
                return told
    return False
