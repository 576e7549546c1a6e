import asyncio
import time


async def fetch(name):
    await asyncio.sleep(0.01)
    return {"name": name, "size": len(name)}


def describe(results):
    return [f"{one.name}: {one.size}" for one in results]


async def main():
    results = await asyncio.gather(*(fetch(name) for name in ("a", "bb", "ccc")))
    print("fetched", len(results), flush=True)
    for line in describe(results):
        print(line)


time.sleep(0.5)
asyncio.run(main())
