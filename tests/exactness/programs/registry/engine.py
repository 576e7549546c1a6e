import json

import hub
import rules
from hub import LISTENERS, listener, make_counter, ordered, retry

step, forget = make_counter(10)
handlers = {"buy": lambda event: event["amount"] * 2, "fail": lambda event: -1}


@listener
def on_total(total):
    print("listener heard", total)


@listener
def on_total_again(total):
    step(total % 3)


@retry(2)
def fragile(number):
    return 100 // (number % 3)


def read_events():
    with open("data/events.json", encoding="utf-8") as file:
        return json.load(file)


def process(events):
    totals = {}
    for name, (priority, function) in ordered():
        total = sum(function(event) for event in events)
        for _ in range(80):
            total = sum(function(event) for event in events)
        totals[name] = total
        print(f"{name} (priority {priority}): {total}")
        for heard in LISTENERS:
            heard(total)
    return totals


def handle(events):
    default = handlers.get("login", lambda event: 0)
    return sum(handlers.get(event["kind"], default)(event) for event in events)


def main():
    print("loaded", rules.load_all())
    events = read_events()
    totals = process(events)
    print("handled", handle(events))
    for number in range(3, 6):
        print("fragile", number, fragile(number))
    print("steps", step(), "calls", hub.calls, [function.__name__ for function in LISTENERS])
    best = max(sorted(totals), key=totals.get)
    print("best rule", best, ordered()[0][1][1].__doc__)
    with open("totals.json", "w", encoding="utf-8") as file:
        json.dump(totals, file, sort_keys=True, indent=2)


if __name__ == "__main__":
    main()
