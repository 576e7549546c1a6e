from enum import Enum, auto
from typing import NamedTuple

__all__ = ["TokenKind", "Token", "describe", "PRECEDENCE"]


class TokenKind(Enum):
    NUMBER = auto()
    NAME = auto()
    TEXT = auto()
    OPERATOR = auto()
    END = auto()

    @property
    def short(self):
        return self.name[:2].lower()

    @classmethod
    def of(cls, character):
        if character.isdigit():
            return cls.NUMBER
        if character.isalpha():
            return cls.NAME
        return cls.TEXT if character == '"' else cls.OPERATOR


class Token(NamedTuple):
    kind: TokenKind
    text: str
    column: int = 0

    def __str__(self):
        return f"{self.kind.short}:{self.text}"


PRECEDENCE = {"?": 1, "<": 2, "<=": 2, ">": 2, "==": 2, "+": 3, "-": 3, "*": 4, "/": 4, "//": 4, "%": 4, "^": 6}


def describe(kind):
    return f"{kind.value}. {kind.name.title()} ({kind.short})"
