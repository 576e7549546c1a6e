class PebbleError(Exception):
    kind = "error"

    def __init__(self, message, line):
        super().__init__(message)
        self.line = line

    def show(self, name):
        return f"{name}:{self.line}: {self.kind}: {self}"


class SyntaxFault(PebbleError):
    kind = "syntax"


class NameFault(PebbleError):
    kind = "name"


class RunFault(PebbleError):
    kind = "run time"
