def append(path, line):
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def length(path):
    with open(path, encoding="utf-8") as file:
        return sum(1 for _ in file)
