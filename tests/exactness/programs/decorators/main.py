import sys

import deco
import things
from things import Account, Point, Stack, Temp, counter, fib, flaky, flatten, show


def first():
    tick = counter(5, step=2)
    print(tick(), tick(), tick(10), deco.spin())
    return tick


def second(tick):
    account = Account.parse("ann:50")
    account.pay(3).half()
    print(account.amount, account.rich, Account.static(), Account.static())
    account.rich = True
    print(account.amount, deco.spin())
    try:
        Account(3)
    except TypeError as error:
        print(error)
    tick.reset()
    return account


def third(tick):
    temp = Temp("a"), Temp("b")
    print(len(Temp.alive))
    del temp
    print(tick(), len(Temp.alive), flaky("a"), flaky("abc"), deco.spin())
    stack = Stack[int]() << 1 << 2 << 3
    print(list(stack), stack.top, stack.top2)
    try:
        stack.bottom
    except AttributeError as error:
        print("no", error)
    print([show(v) for v in (1, 2.5, "x", Point(1, 2) + Point(3), None)])


def groups():
    try:
        raise ExceptionGroup("several", [ValueError("v"), TypeError("t"), ExceptionGroup("inner", [KeyError("k")])])
    except* (ValueError, KeyError) as group:
        print("caught", [type(e).__name__ for e in flatten_group(group)])
    except* TypeError as group:
        print("types", group.exceptions)


def flatten_group(group):
    for error in group.exceptions:
        yield from flatten_group(error) if isinstance(error, ExceptionGroup) else (error,)


def never():
    return Temp("never")


def main():
    tick = first()
    account = second(tick)
    gen = flatten([1, [2, [3, (4, 5)]], Point(6)])
    got = [next(gen), next(gen)]
    third(tick)
    got.extend(gen)
    print(got, fib(4), deco.spin())
    print("\n".join(deco.TRACE[-6:]))
    groups()
    if (n := len(deco.TRACE)) > 5:
        print(f"{n=} {account.amount=}")
    return sum(v for v in got if isinstance(v, int)) if account.rich else 1


if __name__ == "__main__":
    sys.exit(main())
