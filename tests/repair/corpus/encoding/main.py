import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



def read(path):
    with open(path, encoding="ascii") as file:
        return file.read().split()


prepare()
print(len(read("names.txt")))
