import unittest
from unittest import mock

from depot import cost, freight, split


class CostTest(unittest.TestCase):
    def test_ways(self):
        for way, expected in (("road", 150), ("rail", 100), ("air", 550)):
            with self.subTest(way=way):
                self.assertEqual(cost(50, 100, way), expected)

    def test_other_rates(self):
        with mock.patch.dict(freight.RATES, {"sea": 1}):
            self.assertEqual(cost(50, 100, "sea"), 50)
        self.assertNotIn("sea", freight.RATES)

    @unittest.skip("tariffs are not settled")
    def test_tariff(self):
        self.fail("never runs")


class SplitTest(unittest.TestCase):
    def test_all_fit(self):
        weights = [(number * 37) % 91 + 1 for number in range(400)]
        loads = split(weights, 120)
        self.assertEqual(sorted(weight for load in loads for weight in load), sorted(weights))
        self.assertTrue(all(sum(load) <= 120 for load in loads))

    def test_heaviest_first(self):
        self.assertEqual(split([1, 5, 3], 6), [[5, 1], [3]])
