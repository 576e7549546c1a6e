from string import ascii_lowercase as LETTERS
from core import Plugin

SHIFT = 5
TABLE = str.maketrans(LETTERS, LETTERS[SHIFT:] + LETTERS[:SHIFT])


class Caesar(Plugin, name="caesar"):
    def step(self, word):
        return word.translate(TABLE)


class Atbash(Caesar, name="atbash", depth=1, key="none"):
    def step(self, word):
        return word.translate(str.maketrans(LETTERS, LETTERS[::-1]))
