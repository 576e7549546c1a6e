import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



def neighbours(values):
    return [values[i] + values[i + 1] for i in range(len(values))]


print(neighbours(prepare()))
