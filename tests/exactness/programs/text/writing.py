class Report:
    def __init__(self, path, underline="-"):
        self.path = path
        self.underline = underline

    def __enter__(self):
        self.file = open(self.path, "w", encoding="utf-8")
        return self

    def __exit__(self, *details):
        self.file.write("end\n")
        self.file.close()

    def section(self, title, lines):
        if not lines:
            raise LookupError(f"nothing to say about {title}")
        self.file.write(title + "\n" + self.underline * len(title) + "\n")
        for line in lines:
            self.file.write(line + "\n")
