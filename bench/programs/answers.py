"""Holds so many megabytes, and answers every line with its number."""
import os
import sys

held = [os.urandom(1_000_000) for _ in range(int(sys.argv[1]))]
print("ready", flush=True)
for number, line in enumerate(sys.stdin, 1):
    print(number, line.strip(), flush=True)
