"""Run it, edit MESSAGE or greet, run it again: the service is not started anew, and what it has counted stays."""
import thaw

MESSAGE = "hello"
CALLS = []  # a cache: it outlives edits


def greet(name):
    CALLS.append(name)
    return "%s %s, call %d of this process" % (MESSAGE, name, len(CALLS))


if __name__ == "__main__":
    remote = thaw.fn(greet, name="hot-reload").to(thaw.Compute(launch_timeout=60, inactivity_ttl="10m"))
    print(remote("world"))
    print("code", remote.version)
