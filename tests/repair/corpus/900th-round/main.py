import time

from shop import price

total = 0
for number in range(1000):
    if number % 100 == 0:
        print("round", number, flush=True)
    time.sleep(0.001)
    total += price(number)
print(total)
