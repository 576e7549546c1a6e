import csv
import os
import tempfile
import unittest
from unittest import mock

from depot import Depot, Shortage


def setUpModule():
    print("depot tests begin")


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(os.path.dirname(__file__), "stock.csv"), encoding="utf-8") as file:
            cls.rows = [(item, int(count)) for item, count in csv.reader(file)]

    def setUp(self):
        self.told = mock.Mock()
        self.depot = Depot("east", self.told)
        for item, count in self.rows:
            self.depot.receive(item, count)


class StockTest(Base):
    def test_issue(self):
        for item, count in self.rows:
            with self.subTest(item=item):
                self.assertEqual(self.depot.issue(item, 1), count - 1)

    def test_shortage_is_told(self):
        with self.assertRaises(Shortage) as caught:
            self.depot.issue("gear", 10)
        self.assertEqual(caught.exception.missing, 4)
        self.told.assert_called_once_with("east: 4 gear")

    def test_journal(self):
        self.depot.issue("nut", 40)
        self.assertEqual(self.depot.journal[-1], ("out", "nut", 40))
        self.assertEqual(len(self.depot.journal), len(self.rows) + 1)

    def test_many(self):
        total = 0
        for number in range(30000):
            self.depot.receive("bolt", 2)
            total += self.depot.issue("bolt", 2) % (number % 7 + 1)
        self.assertGreater(total, 0)

    @unittest.expectedFailure
    def test_no_limit(self):
        self.depot.receive("bolt", 10_000)


class SaveTest(Base):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "depot.json")

    def test_round_trip(self):
        self.depot.save(self.path)
        self.assertEqual(Depot.load(self.path).stock, self.depot.stock)

    @mock.patch("depot.depot.json.dump", side_effect=OSError("disk full"))
    def test_disk_full(self, dump):
        with self.assertRaisesRegex(OSError, "full"):
            self.depot.save(self.path)
        self.assertEqual(dump.call_count, 1)
