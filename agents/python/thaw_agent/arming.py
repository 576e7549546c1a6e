"""Taking traps out of live code, and the jumps that lead a running frame to its edited code."""
from . import traps
from .bytecode import ADAPTIVE, CACHES, jump_forward, jump_targets
from .layout import hide_module, is_warm, write_code
from .state import S
from .traps import KIND, OFFSET, ONCE, ORIGINAL, TRAILER

# id of the old code of a running frame -> (new code, landing): switched when the frame reaches its next statement.
switches = {}


def disarm(code, trap):
    """Write the original instructions back. In code that is warm already they come back in their adaptive form."""
    write_code(code, trap[OFFSET], adaptive(code, trap[ORIGINAL]))


def arm(code, running):
    """Set the entry trap of code that has run again. `running`: offsets at which its frames are. Where one may stand on the
    bytes to be overwritten the code stays as it is."""
    trap = traps.trap_of(code)
    if trap is None:
        return
    length = len(trap[ORIGINAL])
    if any(at < trap[OFFSET] + length for at in running) or length > 2 and code.co_flags & GENERATOR:
        return
    write_code(code, trap[OFFSET], jump_forward(trap[OFFSET], trap[TRAILER]))


def comes_back(code):
    """Whether a loop of a function leads to the place of its entry trap, which a running frame would meet again."""
    trap = traps.trap_of(code)
    return trap is not None and trap[KIND] == ONCE and trap[OFFSET] in jump_targets(code.co_code[: trap[TRAILER]])


# CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
GENERATOR = 0x2A0


def adaptive(code, original):
    if not is_warm(code):
        return original
    out = bytearray(original)
    i = 0
    while i < len(out):
        out[i] = ADAPTIVE.get(out[i], out[i])
        i += 2 + 2 * CACHES[original[i]]
    return bytes(out)


def disarm_all():
    """A tracer is there: take every trap out, and make no checkpoint any more."""
    S.busy += 1
    try:
        for file in S.files.values():
            for tree in file.trees:
                for code in traps.units_of(tree).values():
                    for const in code.co_consts:
                        if traps.is_trap(const) and id(code) not in S.edited:
                            disarm(code, const)
    finally:
        S.busy -= 1


hide_module(globals())
