"""Later settings win."""
TIMEOUT = 45
RETRIES = 3


def helper():
    return "overrides"
