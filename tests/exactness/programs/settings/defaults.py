"""Settings that a framework takes by their names."""
DEBUG = False
TIMEOUT = 30
REGION = "north"
lower = "not taken"


def helper():
    return "defaults"


def forgotten():
    return TIMEOUT
