/** The files of the service, each by the number of its edit: a constant, a function, or both differ. */
export const SOURCES = {
  helper: (edit) => `
def helped():
    return ${edit}
`,
  main: (edit) => `
import asyncio, os, time
import helper

MARK = ${edit}
DATA = [str(i) for i in range(20_000)]
STATE = {}

def mark():
    return [MARK, helper.helped(), ${edit}]

def bump():
    # Of the state that began with this worker: no other one has its key.
    if "key" not in STATE:
        STATE["key"] = os.urandom(6).hex()
    STATE[os.getpid()] = 0
    n = STATE["n"] = STATE.get("n", 0) + 1
    return [STATE["key"], n]

def echo(*args): return list(args)
def nap(seconds):
    time.sleep(seconds)
    return seconds
async def later(seconds):
    await asyncio.sleep(seconds)
    return seconds
def prints(lines):
    for i in range(lines):
        print("line", i)
    return lines
def raises(number): raise LookupError(number)
def strange(): return object()
def spin():
    while True:
        pass
def exits(): os._exit(3)
def killed(): os.kill(os.getpid(), 9)
`,
}
