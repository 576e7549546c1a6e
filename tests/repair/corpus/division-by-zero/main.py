import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



def mean(values):
    return sum(values) / len(values)


prepare()
for group in ([1, 2, 3], []):
    print(mean(group))
