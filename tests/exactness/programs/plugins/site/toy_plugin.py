from core import Plugin


class Toy(Plugin, name="zz-toy", depth=1):
    label = "toy of the outside"

    def step(self, word):
        return f"{word[0]}{len(word)}"


def helper(text: str = "x") -> str:
    return text * 2
