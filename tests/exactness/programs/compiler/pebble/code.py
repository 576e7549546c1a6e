from dataclasses import dataclass, field


@dataclass
class Code:
    name: str
    parameters: int = 0
    size: int = 0
    instructions: list = field(default_factory=list)
    lines: list = field(default_factory=list)

    def emit(self, name, argument=None, line=0):
        self.instructions.append((name, argument))
        self.lines.append(line)
        return len(self.instructions) - 1

    def patch(self, place):
        self.instructions[place] = (self.instructions[place][0], len(self.instructions))


def disassemble(code, level=0):
    pad = "  " * level
    yield f"{pad}{code.name}/{code.parameters} ({code.size} slots)"
    for place, (name, argument) in enumerate(code.instructions):
        if isinstance(argument, Code):
            yield from disassemble(argument, level + 1)
            argument = argument.name
        yield f"{pad}{place:5d} {name:<8} {'' if argument is None else argument!r}".rstrip()


def disassemble_all(codes):
    return "\n".join(line for code in codes for line in disassemble(code))
