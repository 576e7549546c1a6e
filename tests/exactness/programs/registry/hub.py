"""Decorators that collect functions."""

import functools

RULES = {}
LISTENERS = []
calls = 0


def rule(name, *, priority=5, enabled=True):
    def decorate(function):
        @functools.wraps(function)
        def counted(event):
            global calls
            calls += 1
            return function(event)

        if enabled:
            RULES[name] = (priority, counted)
        return counted

    return decorate


def listener(function):
    LISTENERS.append(function)
    return function


def ordered():
    return sorted(RULES.items(), key=lambda item: (-item[1][0], item[0]))


def make_counter(start=0):
    count = start

    def step(by=1):
        nonlocal count
        count += by
        return count

    def forget():
        nonlocal count
        count = start

    return step, forget


def retry(times):
    def decorate(function):
        @functools.wraps(function)
        def attempt(*positional, **named):
            for number in range(times):
                try:
                    return function(*positional, **named)
                except ArithmeticError as error:
                    print("attempt", number, error)
            return None

        return attempt

    return decorate
