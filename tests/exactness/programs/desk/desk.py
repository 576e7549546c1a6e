import cmd
import logging
import logging.config
import sys
from functools import partial

import books
from history import History, recorded

CONFIG = {
    "version": 1,
    "formatters": {"short": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "err": {"class": "logging.StreamHandler", "formatter": "short", "level": "WARNING"},
        "file": {"class": "logging.FileHandler", "filename": "desk.log", "formatter": "short", "mode": "w"},
    },
    "loggers": {"desk": {"handlers": ["err", "file"], "level": "DEBUG"}},
}
log = logging.getLogger("desk.main")


class Desk(cmd.Cmd):
    prompt = ""
    use_rawinput = False
    book = None
    lines = None

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.history = History(limit=3)

    def precmd(self, line):
        log.debug("command %s", line)
        return line

    @recorded
    def do_load(self, path):
        "load PATH"
        stream = open(path)
        self.book = books.Book.read(stream)
        self.lines = iter(self.book)
        log.info("%d entries", len(self.book))

    def do_total(self, _):
        "total"
        print("total", self.book.total(), self.book.checksum())

    def do_top(self, count):
        for name, amount in self.book.top(int(count or 2)):
            print(f"{name:<10}{amount:>8,}")

    @recorded
    def do_rename(self, words):
        old, new = words.split()
        count = self.book.rename(old, new)
        print("renamed", count)
        return None

    def do_undo(self, _):
        print("undone", self.history.undo(self))

    def do_next(self, count):
        for _, entry in zip(range(int(count or 1)), self.lines):
            print(*entry)

    def do_eval(self, text):
        names = {"total": self.book.total(), "book": self.book}
        print(eval(text, {"__builtins__": {}}, names))

    def do_hist(self, _):
        months = self.book.months()
        scale = max(months.values()) // 20
        for month, amount in sorted(months.items()):
            print(month, "#" * (amount // scale))

    def do_secret(self, _):
        print("secret")

    def default(self, line):
        if line == "EOF":
            return True
        log.warning("unknown command %r", line)

    def do_quit(self, _):
        return True

    def postloop(self):
        print("left", sum(1 for _ in self.lines), self.history)


def main():
    logging.config.dictConfig(CONFIG)
    desk = Desk(stdin=sys.stdin)
    say = partial(print, ">", sep=" ")
    say("ready")
    desk.cmdloop()
    say("bye", len(desk.book), *[f"{day}" for day in desk.book.days(2)])


if __name__ == "__main__":
    main()
