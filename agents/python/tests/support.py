"""A project file run under the agent inside this process, without a daemon.

The trap of one chosen unit stands for a checkpoint. Instead of parking a clone and restoring it with edited code, the edit is
put in place in this very process, through the functions that a restored process uses: what it prints and raises from there
on must equal a cold run of the edited program.
"""
import builtins
import contextlib
import gc
import io
import os
import shutil
import sys
import tempfile
import types
import unittest
from itertools import islice

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from thaw_agent import compare, definitions, fork, hook, layout, loader, mentions, patch, remap, traps
from thaw_agent.state import S, File

FILE = "/nowhere/program.py"
MODULE = traps.MODULE
VERSION = sys.version_info[:2]
# What a program calls to say that here the checkpoint is.
MARK = "def mark(*_):\n    return 0\n"


class Outcome:
    """What a run printed and raised, and how the edit went."""

    def __init__(self):
        self.printed = ""
        self.error = None
        self.refused = None
        self.applied = False
        self.edits = None
        self.events = []
        self.module = None

    def seen(self):
        return self.printed, self.error


def told(error):
    """An exception with its chain: types, texts, and where each frame of the program stood."""
    out = []
    while error is not None:
        frames, tb = [], error.__traceback__
        while tb is not None:
            code = tb.tb_frame.f_code
            if code.co_filename == FILE:
                frames.append((code.co_name, tb.tb_lineno, *next(islice(code.co_positions(), tb.tb_lasti // 2, None))))
            tb = tb.tb_next
        out.append((type(error).__name__, str(error), frames))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return out


class Stage:
    """Versions of one program, and runs of it."""

    def __init__(self):
        self.cache = tempfile.mkdtemp(prefix="thaw-agent-test-")
        S.config = {"own": (self.cache + "/",), "project": "/nowhere", "temp": "/nowhere-else", "cache": self.cache}

    def close(self):
        self.settle()
        S.inert = True
        sys.modules.pop("program", None)
        shutil.rmtree(self.cache)

    @staticmethod
    def settle():
        S.files, S.edited, S.pending, S.seq = {}, {}, [], 0
        S.classes_seen = False
        S.opaque, S.busy, S.due, S.inert = False, 0, 0.0, False
        hook.switches.clear()

    def keep(self, source):
        """The instrumented code of a version, and its hash; both lie in the cache afterwards."""
        digest = loader.digest_of(source.encode())
        return loader.build(self.cache, FILE, source.encode(), digest), digest

    def diff(self, old, new):
        return compare.diff(FILE, self.keep(old)[1], self.keep(new)[1], self.cache)

    def remap(self, old, new, unit, lasti, inline=True):
        return remap.remap(FILE, self.keep(old)[1], self.keep(new)[1], unit, lasti, inline, self.cache)

    def cold(self, source):
        """A plain run, without the agent."""
        return self._execute(loader.compile_plain(FILE, source.encode()), Outcome())

    def under(self, source):
        """A run under the agent without an edit."""
        return self.resumed(source, source, None)

    def resumed(self, old, new, at="mark#0", then=()):
        """A run of `old` that goes on as `new` from `at` on: a unit about to run, or the line of a module's statement.
        `then`: further edits, [(at, source), …]."""
        self.settle()
        outcome = Outcome()
        code, digest = self.keep(old)
        steps = [(place, self.keep(source)[1]) for place, source in [(at, new), *then]]
        S.files[FILE] = File(FILE, digest, code, None, "program")
        problems = []

        @layout.hidden
        def checkpoint(file, unit, line, trap):
            here = line if trap[traps.KIND] == traps.STATEMENT else unit
            if outcome.refused or not steps or here != steps[0][0]:
                return
            try:
                self.edit(outcome, trap, S.files[FILE].hash, steps.pop(0)[1])
            except Exception as error:
                problems.append(error)

        original, hook.checkpoint = hook.checkpoint, checkpoint
        hook.install()
        try:
            self._execute(code, outcome)
        finally:
            hook.checkpoint = original
            S.inert = True
        outcome.events = [event[:1] + event[2:] for event in S.pending]
        if problems:
            raise problems[0]
        outcome.applied = outcome.applied and not outcome.refused and not steps
        if at is not None and steps and not outcome.refused:
            raise AssertionError("the program never came to %s" % (steps[0][0],))
        return outcome

    def edit(self, outcome, trap, old, new):
        """What the daemon decides and a restored process does."""
        found = compare.diff(FILE, old, new, self.cache)
        edit = {"file": FILE, "old": old, "new": new, "changed": found["changed"], "frames": [], "bind": [], "unbind": [], "was": [], "order": [], "placed": []}
        ran = S.files[FILE].seen
        stack = [entry for entry in fork.stack(trap) if entry["file"] == FILE]
        for unit in found["changed"] + found["removed"]:
            if unit not in ran:
                continue
            entries = [entry for entry in stack if entry["unit"] == unit]
            if len(entries) > 1 or entries and not entries[0]["single"] or not entries and unit != MODULE:
                outcome.refused = "%s has run" % unit
                return
            lasti, inline = (entries[0]["lasti"], entries[0]["inline"]) if entries else (None, None)
            answer = remap.remap(FILE, old, new, unit, lasti, inline, self.cache)
            if not answer["can"]:
                outcome.refused = "%s: %s" % (unit, answer["why"])
                return
            if entries:
                edit["frames"].append({"unit": unit, **{k: answer[k] for k in ("at", "entries", "first") if k in answer}})
            edit["bind"] += answer["bind"]
            edit["unbind"] += answer["unbind"]
            edit["was"] += answer["was"]
            edit["order"] += answer["order"]
            edit["placed"] += answer["placed"]
        names = [entry["name"] for entry in edit["bind"] + edit["was"]] + edit["unbind"]
        if names or edit["placed"]:
            running = [[FILE, entry["unit"], entry["lasti"]] for entry in stack if entry["single"]]
            answer = mentions.mentioned(names, [[FILE, old]], [[FILE, new]], True, running, self.cache)
            for _, unit in answer["units"]:
                if unit in ran:
                    outcome.refused = "%s may have noticed" % unit
                    return
            edit["ordered"] = answer["ordered"]
            if answer["ordered"] and any("owner" in entry or entry["kind"] == "class" for entry in edit["bind"] + edit["was"]):
                outcome.refused = "the order of names may show"
                return
        outcome.refused = patch.impossible([edit])
        if outcome.refused is None:
            patch.apply([edit])
            outcome.applied, outcome.edits = True, edit

    def _execute(self, code, outcome):
        module = types.ModuleType("program")
        sys.modules["program"] = module
        module.__dict__.update(__name__="__main__", __file__=FILE, __builtins__=builtins)
        # What the last run left behind must not end in the middle of this one.
        gc.collect()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                exec(code, module.__dict__)
            except BaseException as error:
                outcome.error = told(error)
        outcome.printed = printed.getvalue()
        outcome.module = module
        return outcome


# Below a program there are the same frames in every run.
for _member in vars(Stage).values():
    if isinstance(_member, types.FunctionType):
        layout.hide(_member.__code__)


class Case(unittest.TestCase):
    """Tests that need a stage."""

    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        gc.collect()
        gc.freeze()

    @classmethod
    def tearDownClass(cls):
        cls.stage.close()
        gc.unfreeze()

    def same(self, old, new, at="mark#0"):
        """An edit at a checkpoint leads where a cold run leads."""
        outcome = self.stage.resumed(old, new, at)
        self.assertIsNone(outcome.refused)
        self.assertEqual(outcome.seen(), self.stage.cold(new).seen())
        return outcome

    def never_wrong(self, old, new, at="mark#0", then=()):
        """The edit is refused, or leads where a cold run leads."""
        outcome = self.stage.resumed(old, new, at, then)
        new = then[-1][1] if then else new
        if outcome.applied:
            self.assertEqual(outcome.seen(), self.stage.cold(new).seen())
        return outcome
