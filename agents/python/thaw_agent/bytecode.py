"""CPython's bytecode, as far as its versions differ and the agent must know: opcodes, their arguments, and the encodings of
jumps, line tables and exception tables."""
import opcode
from opcode import hasconst, hasfree, hasjrel, haslocal, opmap, opname
from sys import version_info

VERSION = version_info[:2]
# Inline cache entries behind each instruction, in code units.
if VERSION < (3, 13):
    CACHES = opcode._inline_cache_entries
else:
    CACHES = [opcode._inline_cache_entries.get(opname[number], 0) for number in range(256)]

EXT, FORWARD, BACK, NOP = (opmap[x] for x in ("EXTENDED_ARG", "JUMP_FORWARD", "JUMP_BACKWARD_NO_INTERRUPT", "NOP"))
LOAD_GLOBAL, LOAD_CONST, LOAD_NAME, POP, RESUME = (opmap[x] for x in ("LOAD_GLOBAL", "LOAD_CONST", "LOAD_NAME", "POP_TOP", "RESUME"))
RETURN, STORE_NAME = opmap["RETURN_VALUE"], opmap["STORE_NAME"]
# Returns a constant by itself; 3.12 and 3.13 have it.
RETURN_CONST = opmap.get("RETURN_CONST", -1)
JUMP_BACKWARD = opmap["JUMP_BACKWARD"]
JUMPS = set(hasjrel)
BACKWARD = {number for number in JUMPS if "BACKWARD" in opname[number]} if VERSION < (3, 12) else {
    JUMP_BACKWARD, BACK
}
if VERSION >= (3, 14):
    # It names where its loop waits, for who watches branches: as far as anybody may tell, a jump that is never taken.
    BACKWARD.add(opmap["END_ASYNC_FOR"])
# Control never falls through these.
LEAVES = {opmap["RETURN_VALUE"], RETURN_CONST, opmap["RAISE_VARARGS"], opmap["RERAISE"], FORWARD, JUMP_BACKWARD, BACK}
PLAIN_JUMPS = {FORWARD, JUMP_BACKWARD, BACK}
# Instructions whose argument is the number of a name, shifted left by this.
NAME_SHIFT = {LOAD_GLOBAL: 1}
if VERSION >= (3, 12):
    NAME_SHIFT.update({opmap["LOAD_ATTR"]: 1, opmap["LOAD_SUPER_ATTR"]: 2})
# These bind a name.
STORES = {opmap[x] for x in ("STORE_NAME", "STORE_GLOBAL", "STORE_FAST", "STORE_DEREF")}
CONSTANTS = set(hasconst)
# Loads its own argument, a number up to 255 (from 3.14 on).
LOAD_NUMBER = opmap.get("LOAD_SMALL_INT", -1)
SLOTS = set(haslocal) | set(hasfree)
# One instruction that does what two do, on the slots in the upper and lower four bits of its argument.
PAIRS = {
    opmap[name]: (opmap[first], opmap[second])
    for name, first, second in (
        ("LOAD_FAST_LOAD_FAST", "LOAD_FAST", "LOAD_FAST"), ("STORE_FAST_LOAD_FAST", "STORE_FAST", "LOAD_FAST"),
        ("STORE_FAST_STORE_FAST", "STORE_FAST", "STORE_FAST"),
        ("LOAD_FAST_BORROW_LOAD_FAST_BORROW", "LOAD_FAST_BORROW", "LOAD_FAST_BORROW"),
    )
    if name in opmap
}
# Sets a variable of an inlined comprehension aside; its slot holds the comprehension's from there on.
SET_ASIDE = opmap.get("LOAD_FAST_AND_CLEAR", -1)

CALL = opmap["CALL"]
CALL_ONE = bytes((CALL, 1)) + bytes(2 * CACHES[CALL])
if VERSION == (3, 11):
    CALL_ONE = bytes((opmap["PRECALL"], 1)) + bytes(2 * CACHES[opmap["PRECALL"]]) + CALL_ONE


def _adaptive_forms():
    """Opcode -> its adaptive form, as the interpreter numbers them in memory. From 3.12 on every form adapts by itself."""
    if VERSION != (3, 11):
        return {}
    numbers, specialized = {}, iter(opcode._specialized_instructions)
    for number in range(1, 255):
        if opname[number].startswith("<"):
            name = next(specialized, None)
            if name is not None:
                numbers[name] = number
    found = opcode._specializations
    return {opmap[base]: numbers[forms[0]] for base, forms in found.items() if base in opmap and forms[0] in numbers and forms[0].endswith("_ADAPTIVE")}


ADAPTIVE = _adaptive_forms()


def op(code, arg, units=1):
    """An instruction with as many EXTENDED_ARG prefixes as it needs, at least `units` long."""
    out = bytes((code, arg & 255))
    arg >>= 8
    while arg or len(out) < 2 * units:
        out = bytes((EXT, arg & 255)) + out
        arg >>= 8
    return out


def jump_units(start, target):
    """How many code units a jump forward takes."""
    distance = (target - start) // 2
    return 1 if distance < 257 else 2 if distance < 65538 else 3


def jump_forward(start, target):
    """A jump forward placed at `start`, both in bytes."""
    units = jump_units(start, target)
    return op(FORWARD, (target - start) // 2 - units, units)


def jump_back(start, target):
    """A jump back placed at `start`, both in bytes."""
    units = 1
    while True:
        distance = (start + 2 * units - target) // 2
        if distance < 1 << 8 * units:
            return op(BACK, distance, units)
        units += 1


def instruction_starts(bytecode):
    """Offsets of all instructions, their prefixes counted as such."""
    found, i = set(), 0
    while i < len(bytecode):
        found.add(i)
        i += 2 + 2 * CACHES[bytecode[i]]
    return found


def decode(bytecode):
    """(start, prefixes included; offset; end; opcode; argument) of each instruction. Of a pair each half is an instruction."""
    start = i = arg = 0
    while i < len(bytecode):
        code, arg = bytecode[i], arg << 8 | bytecode[i + 1]
        if code == EXT:
            i += 2
            continue
        end = i + 2 + 2 * CACHES[code]
        if code in PAIRS:
            first, second = PAIRS[code]
            yield start, i, end, first, arg >> 4
            yield start, i, end, second, arg & 15
        else:
            yield start, i, end, code, arg
        start, i, arg = end, end, 0


def jump_targets(bytecode):
    return {end - 2 * arg if code in BACKWARD else end + 2 * arg for _, _, end, code, arg in decode(bytecode) if code in JUMPS}


def jump_argument(bytecode, offset):
    """Argument of the jump at an offset, of whatever way it was prefixed; None where there is no jump."""
    if bytecode[offset] not in JUMPS:
        return None
    arg, shift = bytecode[offset + 1], 8
    while offset >= 2 and bytecode[offset - 2] == EXT:
        offset -= 2
        arg |= bytecode[offset + 1] << shift
        shift += 8
    return arg


def varint(value):
    out = bytearray()
    while value > 63:
        out.append(64 | value & 63)
        value >>= 6
    out.append(value)
    return bytes(out)


def signed(value):
    return varint((-value << 1) | 1 if value < 0 else value << 1)


def no_location(units):
    out = b""
    while units:
        some = min(8, units)
        out += bytes((0x80 | 15 << 3 | some - 1,))
        units -= some
    return out


def handlers(table):
    """Entries of an exception table: (start, end, target, depth and lasti) in code units."""
    out, values, value = [], [], None
    for byte in table:
        if byte & 128:
            values = []
            value = 0
        value = (value or 0) << 6 | byte & 63
        if not byte & 64:
            values.append(value)
            value = 0
            if len(values) == 4:
                start, length, target, rest = values
                out.append((start, start + length, target, rest))
                values = []
    return out


def handler_entry(start, length, target, rest):
    out = bytearray()
    for value in (start, length, target, rest):
        groups = [value & 63]
        value >>= 6
        while value:
            groups.append(value & 63)
            value >>= 6
        groups.reverse()
        out += bytes(g | 64 for g in groups[:-1]) + bytes((groups[-1],))
    out[0] |= 128
    return bytes(out)
