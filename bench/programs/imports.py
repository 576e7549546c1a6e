"""Times the import of the generated package; prints seconds."""

import time

started = time.perf_counter()
import bulk

print(time.perf_counter() - started)
assert bulk.MODULES == 50
