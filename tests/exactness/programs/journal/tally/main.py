import json
import sys

from tally import ledger, state, work


def advance(config):
    count = state.increment("state/count", config["start"])
    print("run number", count)
    state.append("state/log", f"run {count}")
    return count


def reset():
    state.replace("state/count", "0")


def main():
    with open("config.json", encoding="utf-8") as file:
        config = json.load(file)
    first = work.mix(config["rounds"])
    print("mixed", first)
    count = advance(config)
    second = work.mix(config["rounds"], seed=5)
    print("mixed again", second)
    pages = state.rotate("state/pages", count, keep=3)
    print("pages", pages)
    third = work.sieve(config["rounds"])
    print("primes", third)
    state.scratch("state/scratch", config["names"])
    state.publish("state/latest", f"{first} {second} {third}")
    names = ledger.record("state/ledger.db", config["names"])
    print("ledger", names)
    print("sorted", work.shell_sort([second * n % 1009 for n in range(config["rounds"] // 20)])[:5])
    state.append("state/log", f"run {count} ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
