"""The host's answers about code. What they mean stands in docs/agent-protocol.md."""
from . import compare, definitions, mentions, places, remap, stub


class Unanswered(Exception):
    """Why there is no answer: the fields of a refusal."""

    def __init__(self, answer):
        Exception.__init__(self, answer.get("message", ""))
        self.answer = answer


def _asked(function, *names):
    def answer(request, cache):
        found = function(*[request[name] for name in names], cache)
        if "error" in found:
            raise Unanswered(found)
        return found

    return answer


def _stub(request, cache):
    try:
        return {"path": stub.stub(request["python"], cache)}
    except RuntimeError as why:
        raise Unanswered({"error": "unsupported", "message": str(why)}) from None


ANSWERS = {
    "check": _asked(compare.check, "file"),
    "diff": _asked(compare.diff, "file", "old", "new"),
    "remap": _asked(remap.remap, "file", "old", "new", "unit", "lasti", "inline"),
    "mentioned": _asked(mentions.mentioned, "names", "files", "edited", "deep", "running"),
    "place": _asked(places.place, "file", "hash", "name", "line"),
    "anew": _asked(definitions.anew, "file", "old", "new"),
    "stub": _stub,
}
