import time
import unittest

from slots import free


class Slots(unittest.TestCase):
    def test_all_free(self):
        time.sleep(0.4)
        self.assertEqual(free(3, []), [0, 1, 2])

    def test_some_taken(self):
        self.assertEqual(free(3, [1]), [0, 2])


if __name__ == "__main__":
    unittest.main()
