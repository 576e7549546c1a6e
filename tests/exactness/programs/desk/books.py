import logging
from collections import Counter, deque
from itertools import accumulate, groupby, tee
from operator import itemgetter

log = logging.getLogger("desk.books")
ROUNDS = 40


class Book:
    def __init__(self, entries):
        self.entries = entries

    @classmethod
    def read(cls, stream):
        entries = []
        with stream:
            for number, line in enumerate(stream):
                day, name, amount = line.split()
                entries.append((day, name, int(amount)))
                if number % 100 == 0:
                    log.info("line %d", number)
        return cls(sorted(entries))

    def __len__(self):
        return len(self.entries)

    def __iter__(self):
        first, second = tee(self.entries)
        sums = accumulate(map(itemgetter(2), second))
        for entry, total in zip(first, sums):
            yield *entry, total

    def total(self):
        return sum(amount for *_, amount in self.entries)

    def checksum(self):
        value = 1
        for _ in range(ROUNDS):
            for _, name, amount in self.entries:
                value = (value * 33 + amount + len(name)) & 0xFFFFFF
        return hex(value)

    def top(self, count):
        sums = Counter()
        for _, name, amount in self.entries:
            sums[name] += amount
        return sums.most_common(count)

    def rename(self, old, new):
        changed = 0
        for index, (day, name, amount) in enumerate(self.entries):
            if name == old:
                self.entries[index] = day, new, amount
                changed += 1
        return changed

    def months(self):
        return {month: sum(entry[2] for entry in group) for month, group in groupby(self.entries, lambda entry: entry[0][:7])}

    def days(self, count):
        last = deque(self.entries, maxlen=count)
        for day, name, _ in last:
            yield f"{day}/{name}"
