"""Child processes that only ask: what they answer is an input, and asking again does no harm. A closed list."""
import os

from .layout import hide_module

GIT = {
    "rev-parse", "describe", "log", "show", "status", "diff", "ls-files", "ls-tree", "cat-file", "rev-list", "name-rev", "show-ref",
    "merge-base", "check-ignore", "version", "--version", "symbolic-ref", "config", "remote", "branch",
}
HG = {"id", "identify", "log", "summary", "branch", "status", "root", "--version", "parents", "path", "paths", "showconfig"}
# Programs that change nothing whatever they are asked.
ASK = {"uname", "file", "which", "locale", "lsb_release", "getconf", "nproc", "arch", "whoami", "id", "ldd", "objdump", "readelf"}
VERSION = ({"--version"}, {"-V"}, {"-version"}, {"-v"})


def _git(words):
    words = list(words)
    while words and words[0].startswith("-") and words[0] != "--version":
        if words[0] in ("-C", "-c"):
            words.pop(0)
        if words:
            words.pop(0)
    if not words or words[0] not in GIT:
        return False
    rest = words[1:]
    if words[0] == "config":
        return any(w.startswith("--get") or w in ("--list", "-l", "get", "list") for w in rest)
    if words[0] == "symbolic-ref":
        return len([w for w in rest if not w.startswith("-")]) == 1 and "-d" not in rest and "--delete" not in rest
    if words[0] == "remote":
        return not rest or rest[0] in ("-v", "get-url", "show")
    if words[0] == "branch":
        return not rest or set(rest) <= {"--show-current", "-a", "-r", "-v", "--list"}
    return not any(w.startswith("--output") for w in rest)


def is_query(argv):
    """Whether a command line is known to only ask."""
    name, words = os.path.basename(argv[0]), argv[1:]
    if name == "git":
        return _git(words)
    if name == "hg":
        return bool(words) and words[0] in HG
    if name == "ldconfig":
        return words == ["-p"]
    if name == "hostname":
        return not words
    return name in ASK or set(words) in VERSION and len(words) == 1 and name not in ("python", "python3")


hide_module(globals())
