import { afterAll, beforeAll, describe, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

/** What a program holds at a checkpoint, and how it goes on with it: each resumed run must find it as it was. */
const HELD: Record<string, { begin: string; use: string }> = {
  'a temporary file without a name': {
    begin: 'import tempfile; f = tempfile.TemporaryFile("w+"); f.write("one "); f.flush(); f.write("two ")',
    use: 'f.write("three"); f.seek(0); print(f.read())',
  },
  'a temporary file with a name': {
    begin:
      'import tempfile; f = tempfile.NamedTemporaryFile("w+"); f.write("one "); f.flush(); f.write("two ")',
    use: 'f.write("three"); f.seek(0); print(f.read(), os.path.exists(f.name)); f.close(); print(os.path.exists(f.name))',
  },
  'a temporary directory': {
    begin: 'import tempfile; d = tempfile.TemporaryDirectory(); open(d.name + "/x", "w").write("abc")',
    use: 'print(open(d.name + "/x").read()); open(d.name + "/y", "w").close(); print(os.listdir(d.name)); d.cleanup()',
  },
  'a file from mkstemp in the project': {
    begin: 'import tempfile; fd, name = tempfile.mkstemp(dir="."); os.write(fd, b"abc")',
    use: 'os.write(fd, b"def"); os.lseek(fd, 0, 0); print(os.read(fd, 9)); os.close(fd); os.unlink(name)',
  },
  'a file removed while open': {
    begin: 'f = open("x", "w+"); f.write("abc"); f.flush(); os.unlink("x")',
    use: 'f.write("def"); f.seek(0); print(f.read(), os.path.exists("x"))',
  },
  'a file that is removed later': {
    begin: 'f = open("x", "w+"); f.write("abc"); f.flush()',
    use: 'f.write("def"); f.flush(); os.unlink("x"); f.seek(0); print(f.read())',
  },
  'descriptors that share an offset, and one that does not': {
    begin:
      'open("d", "w").write("abcdefghij"); a = os.open("d", os.O_RDWR); b = os.dup(a); c = os.open("d", 0); os.read(a, 3)',
    use: 'print(os.read(b, 2), os.lseek(a, 0, 1), os.read(c, 4)); os.write(a, b"X"); os.lseek(b, 0, 0); print(os.read(a, 20))',
  },
  'two descriptions that append': {
    begin: 'open("log", "w").close(); a = open("log", "a"); b = open("log", "a"); a.write("1\\n"); a.flush()',
    use: 'b.write("2\\n"); b.close(); a.write("3\\n"); a.close(); print(open("log").read())',
  },
  'a pipe to itself with bytes in it': {
    begin: 'r, w = os.pipe(); os.write(w, b"hello"); os.set_blocking(r, False)',
    use: 'print(os.read(r, 3)); os.write(w, b"!"); print(os.read(r, 9), os.get_blocking(r), os.get_blocking(w))',
  },
  'a socket pair with bytes in it': {
    begin:
      'import socket; a, b = socket.socketpair(); a.send(b"hello"); b.send(b"back"); a.setblocking(False)',
    use: 'print(b.recv(9), a.recv(9)); a.send(b"x"); print(b.recv(9), os.get_blocking(a.fileno()))',
  },
  'an event counter': {
    begin: 'e = os.eventfd(3)',
    use: 'print(os.eventfd_read(e)); os.eventfd_write(e, 2); print(os.eventfd_read(e))',
  },
  'a selector': {
    begin:
      'import selectors, socket; s = selectors.DefaultSelector(); a, b = socket.socketpair(); s.register(a, 1, "data"); s.register(b, 3)',
    use: 'b.send(b"x"); print([(k.data, m) for k, m in s.select(1)]); a.recv(1); print(len(s.select(1)), len(s.get_map()))',
  },
  'an event loop that is not running': {
    begin: 'import asyncio; loop = asyncio.new_event_loop(); loop.run_until_complete(asyncio.sleep(0.01))',
    use: 'loop.call_later(0.01, print, "later"); loop.run_until_complete(asyncio.sleep(0.05)); loop.close()',
  },
  'sockets that were closed': {
    begin:
      'import socket; s = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname()); d = s.accept()[0]; d.send(b"x"); print(c.recv(1)); [one.close() for one in (s, c, d)]',
    use: 'print("closed")',
  },
  'a lock that was given back': {
    begin: 'import fcntl; f = open("l", "w"); fcntl.flock(f, fcntl.LOCK_EX); fcntl.flock(f, fcntl.LOCK_UN)',
    use: 'fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB); f.close(); print("locked")',
  },
  'databases in memory and in an unnamed file': {
    begin:
      'import sqlite3; dbs = [sqlite3.connect(n) for n in (":memory:", "")]; [db.execute("create table t(x)") for db in dbs]; [db.executemany("insert into t values(?)", [("x" * 1000,)] * 9000) for db in dbs]',
    use: '[db.execute("insert into t values (1)") for db in dbs]; print([db.execute("select count(*), sum(length(x)) from t").fetchall() for db in dbs])',
  },
  'a mapped file that it only reads': {
    begin: 'import mmap; f = open("input", "rb"); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)',
    use: 'print(m[:5], f.read(5))',
  },
  'text that the C library has not written yet': {
    begin: 'import ctypes; c = ctypes.CDLL(None); c.printf(b"from C\\n")',
    use: 'c.printf(b"again\\n"); c.fflush(None)',
  },
  'a half-read directory': {
    begin: 'it = os.scandir("many"); first = next(it).name',
    use: 'print(sorted({first} | {one.name for one in it}))',
  },
  'a descriptor of a directory': {
    begin: 'd = os.open("many", os.O_RDONLY)',
    use: 'print(sorted(os.listdir(d))); os.close(d)',
  },
  'what multiprocessing does at the end': {
    begin: 'from multiprocessing import util; util.Finalize(None, print, ("finalized",), exitpriority=1)',
    use: 'pass',
  },
}

function program(begin: string, use: string) {
  return `${WORK}
import os, sys
work()
def first():
    print("first", flush=True)
first()
${begin}
work()
def middle():
    print("middle", flush=True)
middle()
work()
def late():
    print("late")
    ${use}
late()
`
}

describe('a resumed program still has', () => {
  it.for(Object.entries(HELD))('%s', async ([name, { begin, use }], { expect }) => {
    const project = new Project(home, `held-${Object.keys(HELD).indexOf(name)}`)
    const cold = new Project(home, `cold-${Object.keys(HELD).indexOf(name)}`)
    for (const one of [project, cold]) {
      one.write('input', 'some input')
      for (const n of [1, 2, 3]) one.write(`many/${n}`, '')
      one.write('app.py', program(begin, use))
    }
    const flags = ['--effects', 'keep']
    const seen: (number | undefined)[] = []
    // The same checkpoint twice, or one that the first resumed run has made behind it: what was restored must leave it as it was.
    for (const [before, after] of [
      ['', ''],
      ['"late"', '"LATE"'],
      ['"LATE"', '"Late"'],
      ['"middle"', '"MIDDLE"'],
    ] as const) {
      if (before !== '') for (const one of [project, cold]) one.edit('app.py', before, after)
      const { stdout, stderr, code, report } = await project.run(PYTHON, { flags })
      expect({ stdout, stderr, code }, after).toEqual(
        (({ stdout, stderr, code }) => ({ stdout, stderr, code }))(cold.plain(PYTHON)),
      )
      expect(project.files()).toEqual(cold.files())
      seen.push(report.checkpoint?.at_seconds)
    }
    const [, once, twice, earlier] = seen
    expect(once).toBeGreaterThan(0.2)
    expect(twice).toBeGreaterThanOrEqual(once ?? Infinity)
    expect(earlier).toBeGreaterThan(0.12)
  })
})

/** An event loop is made of descriptors, and knows the process it runs in. */
describe('asyncio', () => {
  const LOOP = `${WORK}
import asyncio

async def tick(name):
    for n in range(3):
        await asyncio.sleep(0.01)
        step(name, n)

def step(name, n):
    work(0.03)
    print(name, n, flush=True)

async def late():
    print("late", asyncio.get_running_loop().is_running())
    await asyncio.sleep(0.01)
    slow = asyncio.create_task(asyncio.sleep(30))
    done, pending = await asyncio.wait([slow, asyncio.create_task(tick("c"))], timeout=5, return_when="FIRST_COMPLETED")
    print(len(done), len(pending))
    slow.cancel()
    print(await asyncio.to_thread(sum, [1, 2]))

async def main():
    timer = asyncio.create_task(asyncio.sleep(0.5, "timer"))
    await asyncio.gather(tick("a"), tick("b"))
    work()
    await late()
    print(await timer)

asyncio.run(main())
`
  it('goes on in the middle of a running loop', async ({ expect }) => {
    const project = new Project(home, 'loop')
    project.write('app.py', LOOP)
    await project.run(PYTHON)
    for (const [before, after] of [
      ['print("late"', 'print("LATE"'],
      ['print("LATE"', 'print("Late"'],
      ['print(len(done), len(pending))', 'print(len(pending), len(done))'],
    ] as const) {
      project.edit('app.py', before, after)
      const { stdout, stderr, report } = await project.run(PYTHON)
      expect({ stdout, stderr }).toEqual({ stdout: project.plain(PYTHON).stdout, stderr: '' })
      expect(report.checkpoint?.at_seconds).toBeGreaterThan(0.2)
    }
  })
})
