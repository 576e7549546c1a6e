SIZES = ("small", "medium", "large")


def price(number):
    if number == 900:
        return surcharge(number)
    return number % 7


def surcharge(number):
    return {"small": 1, "medium": 2}[SIZES[number % 4 + 2]]
