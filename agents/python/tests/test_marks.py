"""The daemon's questions to a live program."""
import posix
import unittest

from support import S
from thaw_agent import marks
from thaw_agent.state import ASK


class Asked(unittest.TestCase):
    def test_in_the_agents_own_work_it_is_answered_at_its_end(self):
        taken, kept = [], (S.inert, S.role, S.wire, marks._take)
        marks._signal.signal(ASK, marks.asked)
        S.inert, S.role, S.wire = False, "branch", type("Wire", (), {"waiting": staticmethod(lambda: False)})
        marks._take = lambda *given: taken.append((given, S.busy))
        try:
            S.busy += 1
            for _ in range(3):
                posix.kill(posix.getpid(), ASK)
            # So long that signals sent at once would have been handled in one another.
            self.assertEqual(sum(range(200000)), 19999900000)
            self.assertEqual(taken, [])
            S.busy -= 1
            self.assertEqual(taken, [((None, True), 0)])
            posix.kill(posix.getpid(), ASK)
            self.assertEqual(len(taken), 2)
        finally:
            S.inert, S.role, S.wire, marks._take = kept
            marks._signal.signal(ASK, marks._signal.SIG_DFL)


if __name__ == "__main__":
    unittest.main()
