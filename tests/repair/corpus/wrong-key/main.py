import time


def prepare():
    print("preparing", flush=True)
    time.sleep(0.6)
    return list(range(10))



def report(prices):
    total = 0
    for item in prices:
        total += item["amount"]
    return total


prepare()
print("total", report([{"name": "tea", "price": 3}, {"name": "bread", "price": 4}]))
