"""Holds so many megabytes; says a word, and answers with a little of what it holds when there is a file `go`."""

import os
import sys
import time

held = bytearray(int(sys.argv[1]) << 20)
for at in range(0, len(held), 4096):
    held[at] = (at >> 12) % 255 + 1
print("ready", flush=True)
while not os.path.exists("go"):
    time.sleep(0.001)
print("reply", sum(held[at] for at in range(0, len(held), len(held) // 100)), flush=True)
