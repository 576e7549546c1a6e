"""A notebook's session with %autoreload 2: imports the program once, and calls main() again for every line on stdin."""
import contextlib
import io
import json
import os
import sys
import time

from IPython.core.interactiveshell import InteractiveShell

sys.path.insert(0, os.getcwd())
shell = InteractiveShell.instance()
shell.run_cell("%load_ext autoreload")
shell.run_cell("%autoreload 2")
shell.run_cell("import main")
print(json.dumps({"ready": True}), flush=True)
for _ in sys.stdin:
    printed = io.StringIO()
    started = time.perf_counter()
    with contextlib.redirect_stdout(printed):
        result = shell.run_cell("main.main()")
    seconds = time.perf_counter() - started
    error = result.error_before_exec or result.error_in_exec
    text = printed.getvalue() if error is None else f"{type(error).__name__}: {error}\n"
    print(json.dumps({"seconds": seconds, "stdout": text}), flush=True)
