import sqlite3
import tempfile


class Store:
    """Readings in a database in memory, and a scratch file without a name."""

    LIMIT = 100

    def __init__(self):
        self.database = sqlite3.connect(":memory:")
        self.database.execute("create table readings (station text, round integer, value integer)")
        self.scratch = tempfile.TemporaryFile("w+", encoding="utf-8")

    def add(self, station, number, value):
        self.database.execute("insert into readings values (?, ?, ?)", (station, number, value % self.LIMIT))
        self.scratch.write(f"{station} {number}\n")

    def summary(self):
        query = "select station, count(*), sum(value), max(value) from readings group by station order by station"
        return self.database.execute(query).fetchall()

    def lines(self):
        self.scratch.seek(0)
        return sorted(self.scratch.read().split("\n"))[-3:]

    def forget(self, station):
        self.database.execute("delete from readings where station = ?", (station,))
