"""thaw's agent for Python programs: stdlib only, lives inside the user's interpreter."""
import sys

# What the interpreter had loaded before the agent came.
BEFORE = frozenset(sys.modules)
