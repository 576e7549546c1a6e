import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jobs


def in_threads(numbers):
    with ThreadPoolExecutor(max_workers=3) as pool:
        return list(pool.map(jobs.slow_root, numbers))


def with_lock(count):
    lock, seen = threading.Lock(), []

    def add(number):
        with lock:
            seen.append(number * number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(seen)


def in_child(number):
    code = f"print(sum(range({number})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def cancel(pool):
    pool.shutdown(cancel_futures=True)


def main():
    numbers = jobs.read("jobs.txt")
    print("prepared", jobs.prepare(800000))
    print("roots", in_threads(numbers))
    print("between", jobs.prepare(900000))
    print("squares", with_lock(5))
    print("after threads", jobs.prepare(900000))
    print("child", in_child(1000))
    print("level", os.environ.get("EXACTNESS_LEVEL", "unset"))
    print("after child", jobs.prepare(600000))


if __name__ == "__main__":
    main()
