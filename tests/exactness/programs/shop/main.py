import sys
from contextlib import ExitStack, contextmanager

import world
from world import *


@contextmanager
def stage(name):
    print(">", name)
    try:
        yield name.upper()
    except LookupError as error:
        print("swallowed", repr(error))
    finally:
        print("<", name)


def setup(stack, seed):
    clock = world.Clock(seed)
    shop = world.Shop()
    stack.callback(print, "closing", shop.sign)
    for i in range(6):
        clock.after(i, world.customer(clock, f"c{i}", shop))
    return clock, shop


def main(argv):
    seed = int(argv[1]) if len(argv) > 1 else 7
    mean = averages()
    next(mean)
    coroutine = world.ticker(5)
    ticks = [coroutine.send(None)]
    with ExitStack() as stack:
        label = stack.enter_context(stage("outer"))
        clock, shop = setup(stack, seed)
        clock.run(6)
        print(label, shop.inside, shop.waiting, world.grind())
        print(mean.send(clock.now) > 0)
        ticks.append(coroutine.send(None))
        clock.run(12)
        print(shop.inside, world.grind(200000), world.weight(30))
        ticks.append(coroutine.send("x"))
        with stage("inner"):
            print(f"{mean.send(clock.now):.4f}")
            [][1]
        clock.run(100)
        print(world.grind(100000), world.weight.cache_info())
    for when, what in clock.log:
        print(f"{when:8.3f} {what}")
    for value in coroutine_rest(coroutine):
        ticks.append(value)
    print(ticks, world.Mood(5), world.Mood.IDLE, world.Access.BOTH, list(world.Access))
    print(f"{mean.send(0):.4f}", Shop.capacity)
    mean.close()
    return len(clock.log) % 5


def never():
    return world.Mood.BUSY


def coroutine_rest(coroutine):
    while True:
        try:
            yield coroutine.send(None)
        except StopIteration as stop:
            print("ticker gave", stop.value)
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv))
