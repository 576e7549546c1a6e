"""Ten rounds, each of which waits for Enter and records what `inner` makes of it."""

recordings = []


def inner(number):
    return number * number


def main():
    for number in range(10):
        input(f"round {number}, press Enter ")
        recordings.append(inner(number))
    print(recordings)


main()
