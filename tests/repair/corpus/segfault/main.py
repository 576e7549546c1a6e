import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



import ctypes


def read_byte(address):
    return ctypes.string_at(address, 1)


prepare()
buffer = ctypes.create_string_buffer(b"x")
print(read_byte(8))
