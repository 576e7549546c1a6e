import asyncio
import json
import os
import socket

import work
from store import Store

with open("plan.json", encoding="utf-8") as file:
    PLAN = json.load(file)


async def station(name, queue, rounds):
    for number in range(rounds):
        await asyncio.sleep(0)
        await queue.put((name, number, work.reading(name, number, PLAN["weight"])))


async def collect(queue, store, count):
    for _ in range(count):
        name, number, value = await queue.get()
        store.add(name, number, value)
    return count


async def drain(queue):
    while not queue.empty():
        await queue.get()


async def answer(reader, writer):
    while line := await reader.readline():
        writer.write(line.strip().upper()[: PLAN["limit"]] + b"\n")
    writer.close()


async def session(words):
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    server = asyncio.create_task(answer(*await asyncio.open_connection(sock=theirs)))
    heard = []
    for word in words:
        writer.write(word.encode() + b"\n")
        heard.append((await reader.readline()).decode().strip())
        work.reading(word, 3, PLAN["weight"])
    writer.close()
    await server
    return heard


async def patient():
    try:
        await asyncio.wait_for(asyncio.Event().wait(), timeout=0.02)
    except TimeoutError:
        return "late"
    return "in time"


def through_pipe(parts):
    inner, outer = os.pipe()
    for part in parts:
        os.write(outer, bytes(part))
    total = work.checksum(parts, PLAN["weight"])
    os.close(outer)
    data = os.read(inner, 1 << 12)
    os.close(inner)
    return len(data), total


async def serve():
    store = Store()
    queue = asyncio.Queue(maxsize=2)
    names = PLAN["stations"]
    tasks = [asyncio.create_task(station(name, queue, PLAN["rounds"])) for name in names]
    print("collected", await collect(queue, store, len(names) * PLAN["rounds"]))
    await asyncio.gather(*tasks)
    print("heard", await session(names))
    print("summary", store.summary())
    print("waited", await patient())
    print("lines", store.lines())
    return store


def main():
    store = asyncio.run(serve())
    print("pipe", *through_pipe([[1, 2, 3], [40, 50], [6]]))
    print("rows", sum(row[1] for row in store.summary()))


if __name__ == "__main__":
    main()
