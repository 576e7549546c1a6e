"""A process of about 50 MB of Python objects, and one line of output after it."""


def build():
    return [{"id": n, "name": f"record {n}"} for n in range(150_000)]


def late(records):
    print("late", len(records), 0, flush=True)


def main():
    records = build()
    print("ready", flush=True)
    late(records)


if __name__ == "__main__":
    main()
