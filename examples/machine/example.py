"""Each round waits for Enter. `reboot` ends the machine that this runs in."""

import subprocess


def inner(number):
    return number * number


recordings = []
for round in range(4):
    if input(f"round {round}, press Enter ") == "reboot":
        subprocess.run(["reboot"])
    recordings.append(inner(round))
    with open("recordings.txt", "w") as file:
        print(recordings, file=file)
print(recordings)
