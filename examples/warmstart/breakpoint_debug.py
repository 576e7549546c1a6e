"""A call stops at breakpoint(); pdb is attached to it from another terminal, or from here:

    python breakpoint_debug.py              calls, and waits for somebody who runs: thaw debug debugged
    python breakpoint_debug.py --attach     attaches, too, with what is typed here
"""
import subprocess
import sys
import threading
import time

import thaw
from thaw.client import thaw_command


def area(width, height):
    result = width * height
    breakpoint()  # p result, n, s, interact, c; or give it another value
    return result


def attach(remote):
    while remote.show()["stops"] == 0:
        time.sleep(0.05)
    subprocess.run([thaw_command(), "debug", remote.name])


if __name__ == "__main__":
    remote = thaw.fn(area, name="debugged").to(thaw.Compute(launch_timeout=60, inactivity_ttl="10m", debug_timeout="2m"))
    if "--attach" in sys.argv:
        threading.Thread(target=attach, args=(remote,)).start()
    print("area", remote(6, 7))
