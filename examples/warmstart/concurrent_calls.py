"""Five calls of a second each take about a second: in threads, and as coroutines on one loop."""
import asyncio
import concurrent.futures
import time

import thaw


def work(number):
    time.sleep(1)
    return number * number


async def wait(number):
    await asyncio.sleep(1)
    return number * number


async def gathered(remote):
    return await asyncio.gather(*(remote.wait.aio(i) for i in range(5)))


if __name__ == "__main__":
    remote = thaw.module(__file__, name="concurrent").to(thaw.Compute(launch_timeout=60, inactivity_ttl="10m"))
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        print(list(pool.map(remote.work, range(5))), "threads    %.2f s" % (time.perf_counter() - began))
    began = time.perf_counter()
    print(asyncio.run(gathered(remote)), "coroutines %.2f s" % (time.perf_counter() - began))
