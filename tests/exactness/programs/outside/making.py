"""Writes a module of the program."""


def generate(source):
    lines = ["# Generated.\n"]
    for line in source:
        name, _, value = line.strip().partition("=")
        lines.append(f"def {name}():\n    return {value}\n\n\n")
    with open("generated.py", "w") as file:
        file.writelines(lines)


def functions(module):
    return sorted(name for name in vars(module) if not name.startswith("_"))
