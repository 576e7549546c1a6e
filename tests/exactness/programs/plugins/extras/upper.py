from core import Plugin, on

PRIORITY = 5


class Upper(Plugin, name="upper", depth=1):
    def step(self, word):
        return word.upper()


@on("start")
def started(value):
    return f"upper started {value}"
