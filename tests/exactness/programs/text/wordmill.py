"""Grinds text: every stage may fail, and says so."""

import logging
import os
import sys
import traceback
import warnings

from counting import count_words, neighbours, rank
from reading import read_folder, read_numbers
from writing import Report

LOG = logging.getLogger("wordmill")
TOP = 8


def prepare(folder):
    LOG.info("reading %s", folder)
    texts = read_folder(folder)
    for name in sorted(texts):
        LOG.debug("%s has %d characters", name, len(texts[name]))
    return texts


def grind(texts):
    totals = {}
    for name in sorted(texts):
        totals[name] = count_words(texts[name])
        print(name, "words", sum(totals[name].values()), "distinct", len(totals[name]))
    return totals


def numbers(folder):
    try:
        return read_numbers(folder)
    except ValueError as error:
        LOG.warning("numbers: %s", error)
        traceback.print_exc()
        return [-1]
    finally:
        print("numbers read")


def give_up(reason):
    LOG.critical(reason)
    sys.exit(9)


def main(folder):
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG, format="%(levelname)s %(name)s %(filename)s:%(lineno)d %(funcName)s %(message)s"
    )
    texts = prepare(folder)
    totals = grind(texts)
    values = numbers(folder)
    print("numbers", values)
    if values[0] < 0:
        warnings.warn("no numbers", UserWarning, stacklevel=1)
    ranked = rank(totals)
    for word, count in ranked[:TOP]:
        print(f"{word:>10} {count}")
    if os.environ.get("EXACTNESS_LEVEL"):
        print("level", os.environ["EXACTNESS_LEVEL"])
    close = neighbours([word for word, _ in ranked])
    print("neighbours", close[:3])
    with Report("report.txt") as report:
        report.section("ranking", [f"{word} {count}" for word, count in ranked])
        report.section("neighbours", [" ".join(pair) for pair in close])
        try:
            report.section("empty", [])
        except LookupError:
            LOG.exception("a section was refused")
    LOG.info("finished with %d words", len(ranked))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
