"""A heap of about 50 MB, then twenty functions of about a tenth of a second.

Prints for each how many seconds passed between its first call and its first
line: under thaw that is the checkpoint before it. With the argument "bare" the
program forks by itself at those moments, and prints how long fork() took.
"""

import os
import sys
import time


def pause(records, step):
    """Works for a tenth of a second, on objects all over the heap."""
    total = 0
    until = time.perf_counter() + 0.1
    while time.perf_counter() < until:
        for record in records[step::500]:
            total += record["id"]
    return total


def step_1(records):
    entered = time.perf_counter()
    pause(records, 1)
    return entered


def step_2(records):
    entered = time.perf_counter()
    pause(records, 2)
    return entered


def step_3(records):
    entered = time.perf_counter()
    pause(records, 3)
    return entered


def step_4(records):
    entered = time.perf_counter()
    pause(records, 4)
    return entered


def step_5(records):
    entered = time.perf_counter()
    pause(records, 5)
    return entered


def step_6(records):
    entered = time.perf_counter()
    pause(records, 6)
    return entered


def step_7(records):
    entered = time.perf_counter()
    pause(records, 7)
    return entered


def step_8(records):
    entered = time.perf_counter()
    pause(records, 8)
    return entered


def step_9(records):
    entered = time.perf_counter()
    pause(records, 9)
    return entered


def step_10(records):
    entered = time.perf_counter()
    pause(records, 10)
    return entered


def step_11(records):
    entered = time.perf_counter()
    pause(records, 11)
    return entered


def step_12(records):
    entered = time.perf_counter()
    pause(records, 12)
    return entered


def step_13(records):
    entered = time.perf_counter()
    pause(records, 13)
    return entered


def step_14(records):
    entered = time.perf_counter()
    pause(records, 14)
    return entered


def step_15(records):
    entered = time.perf_counter()
    pause(records, 15)
    return entered


def step_16(records):
    entered = time.perf_counter()
    pause(records, 16)
    return entered


def step_17(records):
    entered = time.perf_counter()
    pause(records, 17)
    return entered


def step_18(records):
    entered = time.perf_counter()
    pause(records, 18)
    return entered


def step_19(records):
    entered = time.perf_counter()
    pause(records, 19)
    return entered


def step_20(records):
    entered = time.perf_counter()
    pause(records, 20)
    return entered


def bare_fork():
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    took = time.perf_counter() - started
    os.waitpid(pid, 0)
    return took


def main():
    records = [{"id": n, "name": f"record {n}"} for n in range(150_000)]
    for step in STEPS:
        if sys.argv[1:] == ["bare"]:
            print(bare_fork())
            step(records)
        else:
            called = time.perf_counter()
            print(step(records) - called)


STEPS = [
    step_1,
    step_2,
    step_3,
    step_4,
    step_5,
    step_6,
    step_7,
    step_8,
    step_9,
    step_10,
    step_11,
    step_12,
    step_13,
    step_14,
    step_15,
    step_16,
    step_17,
    step_18,
    step_19,
    step_20,
]

if __name__ == "__main__":
    main()
