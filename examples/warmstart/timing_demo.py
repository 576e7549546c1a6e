"""How long a call takes: the first one, which loads the code; the next one; and one that finds the service frozen."""
import time

import thaw

began = time.perf_counter()
TABLE = [i * i for i in range(2_000_000)]  # what takes a while to load
LOADING = time.perf_counter() - began


def lookup(i):
    return TABLE[i]


def timed(function, *args):
    began = time.perf_counter()
    value = function(*args)
    return value, (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    service = thaw.fn(lookup, name="timing")
    compute = thaw.Compute(launch_timeout=60, inactivity_ttl="10m")
    began = time.perf_counter()
    remote = service.to(compute)
    value, _ = timed(remote, 1000)
    print("cold    %8.1f ms   lookup(1000) = %d" % ((time.perf_counter() - began) * 1000, value))
    value, milliseconds = min((timed(remote, 1000) for _ in range(20)), key=lambda pair: pair[1])
    print("warm    %8.1f ms   lookup(1000) = %d" % (milliseconds, value))
    try:
        remote.freeze()
        value, milliseconds = timed(remote, 1000)
        print("frozen  %8.1f ms   lookup(1000) = %d" % (milliseconds, value))
    except thaw.ThawError as error:
        print("frozen  cannot be had here: %s" % error)
