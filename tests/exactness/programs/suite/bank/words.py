NAMES = {0: "zero", 1: "one", 2: "two", 3: "three", 10: "ten"}


def spell(number):
    if number in NAMES:
        return NAMES[number]
    return "-".join(NAMES.get(int(digit), digit) for digit in str(number))
