CURRENCY = "EUR"
PLUGINS = ["loyalty", "stock"]
DISCOUNT = 0.1
ROUNDS = 12000
