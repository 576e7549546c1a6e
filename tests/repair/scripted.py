"""A repairer that knows the answer: `scripted.py FAULT bad|good`. With `bad` its first answer is a wrong one, as a diff; the good
one edits in place."""
import difflib
import json
import os
import sys

fault, first = sys.argv[1:]
bundle = json.load(sys.stdin)
assert bundle == json.load(open(os.environ["THAW_BUNDLE"]))
with open(os.path.join(fault, "fault.json"), encoding="utf-8") as file:
    known = json.load(file)
assert bundle["failure"]["kind"] == known["kind"] or bundle["round"] > 1, bundle["failure"]
good = bundle["round"] > 1 or first == "good"
os.chdir(bundle["project"])
for path, old, new in known["good" if good else "bad"]:
    with open(os.path.join(fault, path), encoding="utf-8") as file:
        text = file.read()
    edited = text.replace(old, new, 1)
    if good:
        with open(path, "w", encoding="utf-8") as file:
            file.write(edited)
    else:
        lines = [one.splitlines(keepends=True) for one in (text, edited)]
        print("I think it is this:\n\n```diff\n" + "".join(difflib.unified_diff(*lines, "a/" + path, "b/" + path)) + "```\n")
