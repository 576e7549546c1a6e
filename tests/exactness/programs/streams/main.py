import asyncio
import sys

import pipeline
from pipeline import averages, flatten, lines, parse, stage, windows, within
from service import collect
from work import collatz


def read(path):
    with stage("read") as title:
        print(title)
        return list(within(parse(lines(path))))


def peaks(items):
    with stage("peaks"):
        found = [max(window, key=lambda item: item[1]) for window in windows(items)]
        print(len(found), found[:3])
        return found


def running(items):
    mean = averages()
    next(mean)
    last = None
    for _, value in items:
        for _ in range(40):
            last = mean.send(value)
    mean.close()
    return last


def main(path):
    items = read(path)
    print(len(items), "items, limit", pipeline.LIMIT)
    top = peaks(items)
    print("mean", round(running(items), 3))
    longest = max(range(1, 9000), key=collatz)
    print("longest", longest)
    results = asyncio.run(collect(items))
    for sensor in sorted(results):
        print(sensor, sum(results[sensor]), len(results[sensor]))
    flat = list(flatten([top[:2], [[1, [2]], 3]]))
    print(flat)
    with open("scores.txt", "w", encoding="utf-8") as file:
        for sensor in sorted(results):
            file.write(f"{sensor} {results[sensor]}\n")


if __name__ == "__main__":
    main(sys.argv[1])
