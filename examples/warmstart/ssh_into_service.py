"""A terminal inside the running environment of a service; with words behind it, a command there.

    python ssh_into_service.py
    python ssh_into_service.py env
"""
import sys

import thaw


def hello(name="world"):
    return "hello " + name


if __name__ == "__main__":
    compute = thaw.Compute(launch_timeout=60, inactivity_ttl="10m", env={"GREETING": "hello"})
    remote = thaw.fn(hello, name="ssh-into").to(compute)
    print(remote(), flush=True)
    sys.exit(compute.ssh(sys.argv[1:] or None))
