from hub import rule

LARGE = 400


@rule("large", priority=8)
def large(event):
    return 10 if event["amount"] > LARGE else 0


@rule("digits", priority=2)
def digits(event):
    """Digit sums, over and over."""
    total = 0
    for turn in range(160):
        number = event["amount"] * turn + event["id"]
        while number:
            total += number % 10
            number //= 10
    return total % 7


@rule("never", enabled=False)
def unused_rule(event):
    return -1000
