"""Top-level statements that may take long, found without a parser. A line inside a string that is taken for a statement only
means a trap more."""
import re

START = re.compile(rb"^(?!(?:else|elif|except|finally)\b)[^\s#)\]}]", re.M)
MAIN_TEST = re.compile(rb"^if\s*\(?\s*__name__\s*==[^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*([ \t]+)", re.M)
LIGHT = re.compile(rb"(?:def|async\s+def|class|import|from|@|if\s+__name__|[\"'])|[\w.\[\], ]+=\s*[^(\n]*$")


def heavy_lines(source):
    """First lines of statements that are no definitions, imports or plain assignments; those below the usual test of
    `__name__` count as top-level."""
    inner = [(m.end(), m.group(1)) for m in MAIN_TEST.finditer(source)]
    starts = [m.start() for m in START.finditer(source)]
    for begin, indent in inner:
        stop = next((s for s in starts if s > begin), len(source))
        pattern = re.compile(rb"^" + indent + rb"(?!(?:else|elif|except|finally)\b)[^\s#)\]}]", re.M)
        starts += [m.start() + len(indent) for m in pattern.finditer(source, begin - len(indent), stop)]
    lines, line, position, decorated = [], 1, 0, False
    for start in sorted(starts):
        line += source.count(b"\n", position, start)
        position = start
        end = source.find(b"\n", start)
        text = source[start : end if end >= 0 else len(source)]
        if not decorated and not LIGHT.match(text):
            lines.append(line)
        decorated = text.startswith(b"@")
    return lines
