import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



def spread(values):
    return math.sqrt(sum(value * value for value in values))


print(f"{spread(prepare()):.4f}")
