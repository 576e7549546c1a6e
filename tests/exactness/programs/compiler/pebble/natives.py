"""Functions that scripts find without asking for them."""

NATIVES = {}


def native(function):
    NATIVES[function.__name__.rstrip("_")] = function
    return function


@native
def print_(machine, *values):
    machine.output.append(" ".join(text(machine, value) for value in values))


@native
def len_(machine, value):
    return len(value)


@native
def push(machine, items, value):
    items.append(value)
    return items


@native
def slice_(machine, items, start, end):
    return items[start:end]


@native
def code(machine, character):
    return ord(character)


@native
def text(machine, value):
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(text(machine, item) for item in value) + "]"
    return str(value)


@native
def clock(machine):
    return machine.steps
