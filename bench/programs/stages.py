"""Ten stages of equal length, one function each. LOOPS is set by the benchmark."""

LOOPS = 100_000


def spin(seed):
    value = seed
    for _ in range(LOOPS):
        value = (value * 1103515245 + 12345) % 2147483648
    return value


def stage_1(value):
    return spin(value + 1)


def stage_2(value):
    return spin(value + 2)


def stage_3(value):
    return spin(value + 3)


def stage_4(value):
    return spin(value + 4)


def stage_5(value):
    return spin(value + 5)


def stage_6(value):
    return spin(value + 6)


def stage_7(value):
    return spin(value + 7)


def stage_8(value):
    return spin(value + 8)


def stage_9(value):
    return spin(value + 9)


def stage_10(value):
    return spin(value + 10)


def main():
    value = 1
    for stage in (stage_1, stage_2, stage_3, stage_4, stage_5, stage_6, stage_7, stage_8, stage_9, stage_10):
        value = stage(value)
        print(stage.__name__, value)


if __name__ == "__main__":
    main()
