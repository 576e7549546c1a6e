import csv

from stages import clean, load, summarise

rows = clean(load("sales.csv"))
print(len(rows), "rows", flush=True)
for region, total in summarise(rows):
    print(region, total)
