#!/usr/bin/env python3
"""A repairer of one idea: a key that is missing is spelled as the most similar one that is there, or as another one.

It reads the bundle on stdin, finds the failing line in the traceback, and edits the file. A real one would ask a model here.
"""
import ast
import difflib
import json
import re
import sys

bundle = json.load(sys.stdin)
error = bundle["failure"]["exceptions"][0]
if error["type"] != "KeyError":
    sys.exit("I only know missing keys, not %s" % error["type"])
missing = ast.literal_eval(error["message"])
frame = [frame for frame in error["frames"] if frame["project"]][-1]
keys = {key for text in frame["locals"].values() for key in re.findall(r"'(\w+)': ", text)}
# What was tried before and did not help.
keys -= {key for tried in bundle["tried"] for key in re.findall(r'^\+.*\["(\w+)"\]', tried["diff"], re.MULTILINE)}
# A number is wanted: names of things are not what is added up.
likely = difflib.get_close_matches(missing, keys, cutoff=0.0) or sorted(keys)
with open(frame["file"], encoding="utf-8") as file:
    lines = file.read().split("\n")
lines[frame["line"] - 1] = lines[frame["line"] - 1].replace('"%s"' % missing, '"%s"' % likely[0])
with open(frame["file"], "w", encoding="utf-8") as file:
    file.write("\n".join(lines))
