"""The asynchronous half."""

import asyncio

from work import score

WORKERS = 3


class Countdown:
    """An asynchronous iterator."""

    def __init__(self, start):
        self.left = start

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.left == 0:
            raise StopAsyncIteration
        self.left -= 1
        await asyncio.sleep(0)
        return self.left


class Meter:
    async def __aenter__(self):
        self.count = 0
        return self

    async def __aexit__(self, *details):
        print("meter saw", self.count)


async def produce(items, queue):
    for item in items:
        await queue.put(item)
    for _ in range(WORKERS):
        await queue.put(None)


async def consume(name, queue, results, meter):
    while True:
        item = await queue.get()
        if item is None:
            break
        sensor, value = item
        results.setdefault(sensor, []).append(score(sensor, value))
        meter.count += 1
    return name


async def ticks(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number * number


async def drain_slowly(queue):
    while not queue.empty():
        await queue.get()


async def collect(items):
    queue = asyncio.Queue(maxsize=8)
    results = {}
    async with Meter() as meter:
        names = await asyncio.gather(
            produce(items, queue),
            *(consume(f"w{number}", queue, results, meter) for number in range(WORKERS)),
        )
    print("finished", names[1:])
    squares = [value async for value in ticks(6)]
    print("squares", squares)
    async for left in Countdown(3):
        print("left", left)
    try:
        await asyncio.wait_for(asyncio.sleep(0), timeout=5)
    except asyncio.TimeoutError:
        print("late")
    return results
