"""Edited code put in place in a restored process: under frames that run, for functions not called yet, and the line
numbers of everything that only moved."""

import sys

from . import binding, classes, traps
from .arming import GENERATOR, arm, comes_back, switches
from .bytecode import instruction_starts, jump_forward
from .layout import ensure_room, exchange, hide_module, need_of, proceed, read_code, relocate, room_of, write_code
from .state import S
from .traps import FILE, KIND, LANDING, LINE, MODULE, OFFSET, TRAILER, UNIT, is_trap, trap_of, units_of, with_landing


current_frames = sys._current_frames


def _frames(path):
    """Frames of a project file on the stack: {unit: frame}, the outermost activation of each."""
    found, frame = {}, sys._getframe(1)
    while frame is not None:
        trap = trap_of(frame.f_code)
        if trap is not None and trap[FILE] == path:
            found[trap[UNIT]] = frame
        frame = frame.f_back
    return found


def _everywhere():
    """Frames of all threads, suspended generators left out."""
    for frame in (sys._getframe(1), *current_frames().values()):
        while frame is not None:
            yield frame
            frame = frame.f_back


def _places(code):
    """Offsets at which frames of a code object are."""
    return [frame.f_lasti for frame in _everywhere() if frame.f_code is code]


def _new_code(path, digest, rewrite):
    from . import loader

    return loader.code_of(path, digest, rewrite)


def impossible(edits):
    """Why this process cannot go on under the edited files, or None. Nothing is changed."""
    for edit in edits:
        file = S.files.get(edit["file"])
        if file is None or edit.get("hot"):
            continue
        why = _names(file, edit)
        if why is None and classes.TOLD:
            why = _classes(file, edit)
        if why is None and file.rewrite is None:
            try:
                fresh = units_of(_new_code(edit["file"], edit["new"], None))
            except (OSError, ValueError, SyntaxError) as error:
                return "%s: %s" % (edit["file"], error)
            why = _running(edit, fresh) or _waiting(file, edit, fresh) or _called(edit, fresh)
        if why is not None:
            return why
    return None


def _names(file, edit):
    """Why names cannot come and go, or None."""
    if not edit.get("bind") and not edit.get("unbind") and not edit.get("placed"):
        return None
    module = sys.modules.get(file.module)
    if module is None:
        return "%s is not a module any more" % file.module
    return binding.refusal(module, edit, file.path, {f.module for f in S.files.values()})


def _classes(file, edit):
    """Why classes cannot be told where they stand now, or None."""
    try:
        fresh = units_of(_new_code(edit["file"], edit["new"], file.rewrite))
    except (OSError, ValueError, SyntaxError) as error:
        return "%s: %s" % (edit["file"], error)
    return classes.refusal(file, fresh, set(edit["changed"]))


def _running(edit, fresh):
    """Why frames cannot go on under edited code, or None."""
    frames = _frames(edit["file"])
    for wanted in edit["frames"]:
        frame = frames.get(wanted["unit"])
        if frame is None or wanted["unit"] not in fresh:
            return "%s is not on the stack" % wanted["unit"]
        if need_of(fresh[wanted["unit"]]) > room_of(frame.f_code):
            return "the frame of %s is too small for the edited code" % wanted["unit"]
    return None


def _waiting(file, edit, fresh):
    """Why generators cannot take edited code, or None: their frames are made with them, maybe long before they begin."""
    for tree in file.trees:
        for name, old in units_of(tree).items():
            if name in edit["changed"] and name in fresh and old.co_flags & GENERATOR and need_of(fresh[name]) > room_of(old):
                return "the frame of %s may be too small for the edited code" % name
    return None


def _called(edit, fresh):
    """Why the call that this checkpoint stands before cannot go into edited code, or None."""
    top = _entering()
    if top is None or top[0] != edit["file"] or top[1] not in edit["changed"]:
        return None
    code = fresh.get(top[1])
    if code is None or parameters(code) != parameters(top[2].f_code):
        return "%s is being called, and its parameters changed" % top[1]
    if need_of(code) > room_of(top[2].f_code):
        return "the frame of %s is too small for the edited code" % top[1]
    return None


def fitting(edits):
    """Edits to be put in place whatever has run: cut down to what this process can take, and what stays as it was."""
    out, left = [], []
    for edit in edits:
        file = S.files.get(edit["file"])
        if file is None or not edit.get("hot"):
            out.append(edit)
            continue
        try:
            fresh = units_of(_new_code(file.path, edit["new"], file.rewrite))
        except (OSError, ValueError, SyntaxError) as error:
            left.append("%s (%s)" % (file.path, error))
            continue
        stays = {name for name in edit["changed"] if name in fresh and not _takes(file, name, fresh[name])}
        frames = [w for w in edit["frames"] if w["unit"] not in stays and _running({**edit, "frames": [w]}, fresh) is None]
        # Their frames go on in the old code, and their next calls are in the new.
        left += sorted(stays)
        module = sys.modules.get(file.module)
        names = [entry for entry in edit.get("bind", ()) if module is not None and binding.free(module, entry, edit, file.path)]
        left += [entry["name"] for entry in edit.get("bind", ()) if entry not in names]
        changed = [name for name in edit["changed"] if name not in stays]
        out.append({**edit, "stays": stays, "changed": changed, "arm": [n for n in {*changed, *edit.get("arm", ())} if n not in stays], "frames": frames, "bind": names, "unbind": []})
    return out, left


def _takes(file, name, new):
    """Whether calls of a function that may have run can go into edited code."""
    for tree in file.trees:
        old = units_of(tree).get(name)
        if old is None or name == MODULE:
            continue
        if parameters(old) != parameters(new):
            return False
        if old.co_flags & GENERATOR and need_of(new) > room_of(old):
            return False
        if name in file.seen and comes_back(old) and (old.co_flags & GENERATOR or any(_places(old))):
            return False
    top = _entering()
    return top is None or top[:2] != (file.path, name) or need_of(new) <= room_of(top[2].f_code)


def parameters(code):
    """What a call has to know of a function."""
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_varnames[:count], code.co_flags & 0x2AC, code.co_freevars


def _entering():
    """(file, unit, frame) of the unit that was about to run when this checkpoint was taken."""
    frame = sys._getframe(1)
    trap = trap_of(frame.f_code) if frame is not None else None
    return (trap[FILE], trap[UNIT], frame) if trap is not None else None


def apply(edits):
    """Prerequisite: `impossible` found nothing."""
    # What a module takes from another may be new there.
    for edit in sorted(edits, key=lambda edit: any("beside" in entry for entry in edit.get("bind", ()))):
        file = S.files.get(edit["file"])
        if file is not None:
            _apply(file, edit)
    cache = sys.modules.get("linecache")
    for edit in edits:
        if cache is not None:
            cache.cache.pop(edit["file"], None)
    for finder in sys.path_importer_cache.values():
        if hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


def _apply(file, edit):
    new = _new_code(file.path, edit["new"], file.rewrite)
    changed = set(edit["changed"])
    fresh = units_of(new)
    frames = _frames(file.path)
    on_stack = {wanted["unit"]: wanted for wanted in edit["frames"]}
    if not edit.get("hot") or classes.refusal(file, fresh, changed) is None:
        classes.relocate_classes(file, fresh, changed)
    for tree in file.trees:
        for name, old in units_of(tree).items():
            target = fresh.get(name)
            if target is None:
                continue
            if name in changed or id(old) in S.edited:
                S.edited[id(old)] = target
                if not old.co_flags & GENERATOR:
                    ensure_room(old, need_of(target))
                if name in file.seen:
                    # What it made while it ran stays: lambdas, comprehensions, classes.
                    _move_made(old, target)
                if name not in on_stack:
                    _first_line(old, target)
            elif name not in edit.get("stays", ()):
                _move(old, target)
    _move_made_for_frames(file, fresh, changed)
    for name, wanted in on_stack.items():
        frame = frames[name]
        old, target = frame.f_code, fresh[name]
        _under(frame, old, target, wanted)
        # The edited code stands where the old did; a new call of the old one finds it through S.edited.
    _define(file, edit, fresh)
    for name in edit.get("arm", ()):
        _lead_in(file, name)
    file.trees.append(new)
    file.hash = edit["new"]


def _move_made_for_frames(file, fresh, changed):
    """Code that an earlier restore made for a running frame, or for one that will switch to it, stands in no tree."""
    known = {id(code) for tree in file.trees for code in units_of(tree).values()}
    loose = [code for code, _ in switches.values()]
    loose += [frame.f_code for frame in _everywhere()]
    for code in loose:
        trap = trap_of(code)
        if trap is None or trap[FILE] != file.path or id(code) in known or trap[UNIT] in changed:
            continue
        if trap[UNIT] in fresh:
            _move(code, fresh[trap[UNIT]])


def _lead_in(file, name):
    """Calls of a function that has run go into its edited code too: its trap is set again."""
    for tree in file.trees:
        old = units_of(tree).get(name)
        if old is not None and name != MODULE:
            arm(old, _places(old))


def _define(file, edit, fresh):
    """Functions that nobody has noticed yet come and go in the module's names."""
    if not edit.get("bind") and not edit.get("unbind") and not edit.get("placed"):
        return
    module = sys.modules[file.module]
    wanted = binding.arrangement(vars(module), edit) if edit.get("placed") else None
    for name in edit.get("unbind", ()):
        binding.unbind(module, name)
    for entry in edit.get("bind", ()):
        binding.bind(module, entry, fresh)
        if entry["kind"] == "import" and "beside" not in entry:
            S.event("find", entry["values"][0].rpartition(".")[2])
    if wanted is not None:
        binding.arrange(vars(module), wanted)


def _first_line(old, new):
    """Code that will be replaced at its first call: whoever asks before sees where it stands now."""
    if old.co_firstlineno != new.co_firstlineno:
        from .layout import FIRSTLINE, cint

        cint.from_address(id(old) + FIRSTLINE).value = new.co_firstlineno


def _move(old, new):
    """Positions of unchanged code, and of the lambdas, comprehensions and class bodies that belong to it."""
    relocate(old, new)
    _move_made(old, new)


def _move_made(old, new):
    """Constants stand in the order of the statements that use them: what the executed ones use comes first in both."""
    mine, theirs = ([c for c in traps.nested(code) if not traps.is_unit(c)] for code in (old, new))
    for a, b in zip(mine, theirs):
        if a.co_code != b.co_code or a.co_qualname != b.co_qualname:
            break
        _move(a, b)


def _under(frame, old, new, wanted):
    if "at" in wanted and wanted["at"] is not None:
        at = wanted["at"]
        if at & 1:
            # The checkpoint was taken before a statement: the hook's value lies on the stack. A trap to stop at there has let
            # the program pass already.
            passed = [c for c in new.co_consts if is_trap(c) and c[KIND] == LINE and c[OFFSET] == at - 1]
            if passed:
                proceed(frame, new, passed[0][LANDING])
                return
            grown, landing = with_landing(new, at - 1)
            proceed(frame, grown, landing)
        else:
            exchange(frame, new, at)
        return
    # C code lies between this frame and the one above it: the evaluator holds the old code until that returns. Lead it into
    # the trailer at the start of the next statement; the hook exchanges the code there.
    _first_line(old, new)
    grown, landing = with_landing(new, wanted["entries"][0][1])
    trailer = trap_of(old)[TRAILER]
    plain = old.co_code
    begins = instruction_starts(plain)
    for start, _ in wanted["entries"]:
        # A specialised pair of instructions may reach across the boundary: back to its plain form.
        if start - 2 in begins and read_code(old, start - 2, 2) != plain[start - 2 : start]:
            write_code(old, start - 2, plain[start - 2 : start])
    for start, _ in wanted["entries"]:
        write_code(old, start, jump_forward(start, trailer))
    switches[id(old)] = (grown, landing)


hide_module(globals())
