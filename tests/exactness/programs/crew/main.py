import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import labour


def tasks():
    with open("tasks.txt", encoding="utf-8") as file:
        return [int(line) for line in file if line.strip()]


def turn(count):
    total = 0
    for i in range(count):
        total = (total * 13 + i) % 32749
    return total


def unused():
    return multiprocessing.cpu_count()


def in_threads(numbers):
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(labour.check, numbers))


def in_pool(numbers):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(labour.task, numbers)


def in_executor(numbers):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(labour.task, numbers))


def before():
    return turn(700000)


def later():
    return turn(500000)


def stages(numbers, stop):
    print("threads", in_threads(numbers))
    print("before", before())
    print("pool", labour.weigh(in_pool(numbers)))
    print("later", later())
    print("executor", labour.weigh(in_executor(numbers)))
    stop.set()


def main():
    stop = threading.Event()
    waiter = threading.Thread(target=stop.wait)
    waiter.start()
    print("start", turn(400000))
    stages(tasks(), stop)
    waiter.join()
    print("end", turn(300000))


if __name__ == "__main__":
    main()
