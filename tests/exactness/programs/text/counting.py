import re
from collections import Counter

WORD = re.compile(r"[a-z]+")
REPEAT = 150


def stem(word):
    for ending in ("ing", "ly", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)]
    return word


def stem_greek(word):
    return word.replace("ph", "f")


def count_words(text):
    for _ in range(REPEAT):
        words = Counter(stem(word) for word in WORD.findall(text.lower()))
    return words


def rank(totals):
    merged = Counter()
    for counter in totals.values():
        merged.update(counter)
    return sorted(merged.items(), key=lambda item: (-item[1], item[0]))


def distance(first, second):
    """Levenshtein's distance."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def neighbours(words, *, most=2, least=0):
    close = []
    for _ in range(35):
        close = [(a, b) for a in words for b in words if a < b and least <= distance(a, b) <= most]
    return close
