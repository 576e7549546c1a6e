def work(n):
    value = 1
    for i in range(n):
        value = (value * 69069 + i) & 0xFFFF
    return value
