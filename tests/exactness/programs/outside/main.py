import importlib
import os
import sys

import ledgers
import making


def work(rounds=30000):
    total = 0
    for step in range(rounds):
        total += step * step % 7
    return total


def sizes():
    with os.scandir("plugins") as entries:
        found = sorted((entry.name, entry.stat().st_size) for entry in entries)
    print(found)


def links():
    if not os.path.lexists("current"):
        os.symlink("plugins", "current")
    print(os.path.basename(os.path.realpath("current")), os.path.islink("current"), sorted(os.listdir("current")))


def below():
    directory = os.open("plugins", os.O_RDONLY)
    try:
        file = os.open("names.txt", os.O_RDONLY, dir_fd=directory)
        print(os.read(file, 100).split(), os.stat("rates.txt", dir_fd=directory).st_size)
        os.close(file)
    finally:
        os.close(directory)


def pipes():
    if os.path.exists("pipe"):
        print("a pipe was left")
        os.remove("pipe")
    os.mkfifo("pipe", 0o600)


def generated():
    with open("plugins/rates.txt") as file:
        making.generate(file)
    importlib.invalidate_caches()
    work()
    module = importlib.import_module("generated")
    for name in making.functions(module):
        print(name, getattr(module, name)())


def database():
    print(ledgers.attach())
    work()
    ledgers.snapshot()
    print(ledgers.total())


def child(number):
    print("child", number, flush=True)
    return number * 2


def forked():
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os._exit(child(3))
    print("ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def last():
    os.remove("pipe")
    print("last", os.access("main.py", os.R_OK), oct(os.stat("making.py").st_mode & 0o777))


def spare():
    return sorted(os.listdir("plugins"))


def main():
    for stage in (sizes, links, below, pipes, generated, database):
        work()
        stage()
    work()
    forked()
    work()
    last()


if __name__ == "__main__":
    main()
