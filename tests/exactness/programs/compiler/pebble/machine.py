"""Runs code: one frame a call, one stack for all."""

import operator

from .errors import RunFault
from .natives import NATIVES

LIMIT = 5_000_000
BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.floordiv,
    "mod": operator.mod,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "gt": operator.gt,
    "le": operator.le,
    "ge": operator.ge,
}


class Closure:
    __slots__ = ("code", "frame")

    def __init__(self, code, frame):
        self.code = code
        self.frame = frame


class Frame:
    __slots__ = ("code", "outer", "slots", "place", "caller")

    def __init__(self, code, outer, caller):
        self.code = code
        self.outer = outer
        self.caller = caller
        self.slots = [None] * code.size
        self.place = 0

    def reach(self, depth):
        frame = self
        for _ in range(depth):
            frame = frame.outer
        return frame


class Machine:
    def __init__(self, limit=LIMIT):
        self.stack = []
        self.output = []
        self.steps = 0
        self.limit = limit
        self.frame = None
        self.operations = {
            name[3:]: getattr(self, name) for name in dir(type(self)) if name.startswith("op_")
        }

    def run(self, code):
        self.frame = Frame(code, None, None)
        self.frame.slots[: len(NATIVES)] = NATIVES.values()
        operations, stack = self.operations, self.stack
        while self.frame is not None:
            frame = self.frame
            name, argument = frame.code.instructions[frame.place]
            frame.place += 1
            self.steps += 1
            try:
                if name in BINARY:
                    right = stack.pop()
                    stack[-1] = BINARY[name](stack[-1], right)
                else:
                    operations[name](frame, argument)
            except (TypeError, IndexError, ZeroDivisionError) as error:
                raise RunFault(str(error), frame.code.lines[frame.place - 1]) from error
            if self.steps > self.limit:
                raise RunFault("too many steps", frame.code.lines[frame.place - 1])
        return self.output

    def trace(self):
        frame = self.frame
        while frame is not None:
            yield frame.code.name, frame.place
            frame = frame.caller

    def op_const(self, frame, value):
        self.stack.append(value)

    def op_load(self, frame, where):
        self.stack.append(frame.reach(where[0]).slots[where[1]])

    def op_store(self, frame, where):
        frame.reach(where[0]).slots[where[1]] = self.stack.pop()

    def op_pop(self, frame, _):
        self.stack.pop()

    def op_list(self, frame, count):
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def op_neg(self, frame, _):
        self.stack.append(-self.stack.pop())

    def op_not(self, frame, _):
        self.stack.append(not self.stack.pop())

    def op_index(self, frame, _):
        index = self.stack.pop()
        self.stack.append(self.stack.pop()[index])

    def op_put(self, frame, _):
        value, index, owner = self.stack.pop(), self.stack.pop(), self.stack.pop()
        owner[index] = value

    def op_jump(self, frame, place):
        frame.place = place

    def op_unless(self, frame, place):
        if not self.stack.pop():
            frame.place = place

    def op_jump_and(self, frame, place):
        if self.stack[-1]:
            self.stack.pop()
        else:
            frame.place = place

    def op_jump_or(self, frame, place):
        if self.stack[-1]:
            frame.place = place
        else:
            self.stack.pop()

    def op_function(self, frame, code):
        self.stack.append(Closure(code, frame))

    def op_call(self, frame, count):
        arguments = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        function = self.stack.pop()
        if not isinstance(function, Closure):
            self.stack.append(function(self, *arguments))
            return
        if function.code.parameters != count:
            raise TypeError(f"{function.code.name} takes {function.code.parameters} arguments, not {count}")
        self.frame = Frame(function.code, function.frame, frame)
        self.frame.slots[:count] = arguments

    def op_return(self, frame, _):
        self.frame = frame.caller

    def op_halt(self, frame, _):
        self.frame = None
