import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



def label(number):
    return "item " + number


for value in prepare():
    print(label(value))
