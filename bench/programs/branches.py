"""A heap of about 50 MB, then `branch`, which says that it is there and waits for the end.

With the argument "bare" the program forks by itself a hundred times.
"""

import os
import sys
import time


def branch():
    sys.stdout.write(f"ready {os.getpid()}\n")
    sys.stdout.flush()
    while not os.path.exists("end"):
        time.sleep(0.05)


records = [{"id": i, "name": f"record {i}", "tags": [i, i + 1]} for i in range(125_000)]
sys.stdout.write("loaded\n")
sys.stdout.flush()
if sys.argv[1:] == ["bare"]:
    sys.stdin.readline()
    children = []
    for _ in range(100):
        pid = os.fork()
        if pid == 0:
            branch()
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
else:
    branch()
