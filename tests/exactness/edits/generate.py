"""Answers requests for edits, one JSON object a line.

Request:  {"root": DIR, "seed": TEXT, "kinds": [..] or null, "data": [..], "stack": [..], "dormant": [..]}
Answer:   {"kind": NAME, "what": TEXT, "changes": {PATH: base64 or null}, "touched": [PATH]}
`--kinds` prints the names of all kinds instead.
"""

import base64
import json
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import body  # noqa: E402,F401
import definitions  # noqa: E402,F401
import files  # noqa: E402,F401
import headers  # noqa: E402,F401
import names  # noqa: E402,F401
from project import Project  # noqa: E402
from registry import KINDS, Edit  # noqa: E402

ATTEMPTS = 60


def compiles(changes):
    for path, content in changes.items():
        if path.endswith(".py") and content is not None:
            try:
                compile(content, path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError):
                return False
    return True


def real(project, edit):
    """Whether the edit changes anything it says it changes."""
    return not edit.changes or any(project.files.get(path) != new for path, new in edit.changes.items())


def generate(project, source, names):
    names = sorted(names)
    weights = [KINDS[name][1] for name in names]
    for _ in range(ATTEMPTS):
        name = source.choices(names, weights)[0]
        function, _, wanted = KINDS[name]
        edit = function(project, source)
        if edit is not None and real(project, edit) and compiles(edit.changes) == wanted:
            return name, edit
    return "nothing", Edit("no edit of the wanted kinds fits this program", {})


def answer(request):
    project = Project.load(
        request["root"], request.get("data", ()), request.get("stack", ()), request.get("dormant", ())
    )
    names = request.get("kinds") or list(KINDS)
    name, edit = generate(project, random.Random(request["seed"]), names)
    changes = {
        path: None if content is None else base64.b64encode(content).decode()
        for path, content in edit.changes.items()
    }
    return {"kind": name, "what": edit.what, "changes": changes, "touched": edit.touched}


def main():
    if "--kinds" in sys.argv:
        print(json.dumps(sorted(KINDS)))
        return
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
