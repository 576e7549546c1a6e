import re

from .values import Token, TokenKind

PATTERN = re.compile(r'\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|("[^"]*")|(//|<=|>=|==|.))')


def tokenize(line):
    """Tokens of a line; the last has the kind END."""
    position = 0
    while position < len(line):
        found = PATTERN.match(line, position)
        if found is None:
            break
        kind = (TokenKind.NUMBER, TokenKind.NAME, TokenKind.TEXT, TokenKind.OPERATOR)[found.lastindex - 1]
        yield Token(kind, found[found.lastindex], found.start(found.lastindex))
        position = found.end()
    yield Token(TokenKind.END, "", position)
