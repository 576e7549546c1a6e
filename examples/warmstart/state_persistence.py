"""Globals live on between calls, whoever makes them:

    python state_persistence.py set name Alice
    python state_persistence.py list
    python state_persistence.py get name
    python state_persistence.py reset
"""
import sys

import thaw

STATE = {}


def set(key, value):
    STATE[key] = value
    return "%s = %s" % (key, value)


def get(key):
    return STATE.get(key)


def list():
    return STATE


if __name__ == "__main__":
    remote = thaw.module(__file__, name="state").to(thaw.Compute(launch_timeout=60, inactivity_ttl="10m"))
    verb, *words = sys.argv[1:] or ["list"]
    if verb == "reset":
        remote.reset()
    else:
        print(remote.call(verb, tuple(words)))
