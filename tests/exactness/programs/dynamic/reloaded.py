import sys

COUNT = 1 + sys.modules[__name__].__dict__.get("COUNT", 0)


def doubled():
    return COUNT * 2
