import re
from dataclasses import dataclass

from .errors import SyntaxFault

KEYWORDS = frozenset("fn let const if else while return use true false nil and or not".split())
TOKENS = re.compile(
    r"""
    (?P<space>[ \t\r]+|//[^\n]*)
  | (?P<newline>\n)
  | (?P<number>\d+)
  | (?P<text>"[^"\n]*")
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign>==|!=|<=|>=|[-+*/%<>=(){}\[\],;])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    line: int

    def describe(self):
        return f"{self.kind} {self.text!r} in line {self.line}"


def tokens(source):
    line, place = 1, 0
    while place < len(source):
        match = TOKENS.match(source, place)
        if match is None:
            raise SyntaxFault(f"unexpected {source[place]!r}", line)
        place = match.end()
        kind, text = match.lastgroup, match.group()
        if kind == "newline":
            line += 1
        elif kind == "name":
            yield Token(text if text in KEYWORDS else "name", text, line)
        elif kind == "sign":
            yield Token(text, text, line)
        elif kind != "space":
            yield Token(kind, text, line)
    yield Token("end", "", line)
