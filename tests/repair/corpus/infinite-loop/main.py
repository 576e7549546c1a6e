import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



def halve(number):
    steps = 0
    while number != 1:
        number = number // 2 if number % 2 == 0 else number
        steps += 1
    return steps


prepare()
print(halve(16), flush=True)
print(halve(24))
