import { afterAll, beforeAll, describe, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

/** What makes a copy impossible while it lasts: how it begins, how it ends, and the reason that is given. */
const OBSTACLES: Record<string, { begin: string; end: string; why: RegExp }> = {
  'a thread': {
    begin: 'import threading; go = threading.Event(); t = threading.Thread(target=go.wait); t.start()',
    end: 'go.set(); t.join()',
    why: /thread/,
  },
  'a child process': {
    begin: 'import subprocess; p = subprocess.Popen(["sleep", "60"])',
    end: 'p.kill(); p.wait()',
    why: /live child process/,
  },
  'a forked child': {
    begin: 'import os, signal; p = os.fork() or time.sleep(60)',
    end: 'os.kill(p, signal.SIGKILL); os.waitpid(p, 0)',
    why: /live child process/,
  },
  'an open socket': {
    begin: 'import socket; s = socket.create_server(("127.0.0.1", 0))',
    end: 's.close()',
    why: /open socket/,
  },
  'a pipe whose other end is elsewhere': {
    begin: 'import os; r, w = os.pipe(); os.close(w)',
    end: 'os.close(r)',
    why: /open pipe/,
  },
  'a socket pair whose other end is closed': {
    begin: 'import socket; a, b = socket.socketpair(); b.close()',
    end: 'a.close()',
    why: /open socket/,
  },
  'memory that is a file': {
    begin: 'import os; m = os.memfd_create("m")',
    end: 'os.close(m)',
    why: /memfd/,
  },
  'shared writable memory': {
    begin: 'import mmap; m = mmap.mmap(-1, 4096)',
    end: 'm.close()',
    why: /shared writable memory/,
  },
  'a pending timer': {
    begin: 'import signal; signal.setitimer(signal.ITIMER_REAL, 60)',
    end: 'signal.setitimer(signal.ITIMER_REAL, 0)',
    why: /timer/,
  },
  'a timer of the C library': {
    begin: `import ctypes; c = ctypes.CDLL(None); t = ctypes.c_void_p(); c.timer_create(1, None, ctypes.byref(t))`,
    end: 'c.timer_delete(t)',
    why: /timer/,
  },
  'a pending signal': {
    begin:
      'import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); signal.raise_signal(signal.SIGUSR1)',
    end: 'signal.sigwait([signal.SIGUSR1])',
    why: /signal is pending/,
  },
  'a mapped file that the program wrote': {
    begin:
      'import mmap; f = open("m", "w+b"); f.write(b"abc"); f.flush(); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)',
    end: 'm.close(); f.close()',
    why: /a file that the program wrote is mapped/,
  },
  'an open database': {
    begin:
      'import sqlite3, tempfile, shutil; t = tempfile.mkdtemp(); db = sqlite3.connect(t + "/x.db"); db.execute("create table t(x)")',
    end: 'db.close(); shutil.rmtree(t)',
    why: /open database/,
  },
  'a lock that no audit event tells of': {
    begin:
      'import fcntl, struct; f = open("k", "w"); n = fcntl.fcntl(f, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))',
    end: 'f.close()',
    why: /lock/,
  },
  'a locked file': {
    begin: 'import fcntl; f = open("lock", "w"); fcntl.flock(f, fcntl.LOCK_EX)',
    end: 'f.close()',
    why: /lock/,
  },
}

describe('no checkpoint, with the reason said, and again afterwards, is there during', () => {
  it.for(Object.entries(OBSTACLES))('%s', async ([name, { begin, end, why }], { expect: check }) => {
    const project = new Project(home, name.replaceAll(' ', '-'))
    project.write(
      'app.py',
      `${WORK}
def before():
    print("before")
def during():
    print("during")
def after():
    print("after")
def last():
    print("last")
work()
before()
${begin}
work()
during()
work()
${end}
work()
after()
work()
last()
`,
    )
    const first = await project.run(PYTHON)
    check(first).toMatchObject({ code: 0, stdout: 'before\nduring\nafter\nlast\n', stderr: '' })
    const tree = await project.tree(first.report.run)
    const lines = project.read('app.py').split('\n')
    const from = lines.indexOf(begin) + 1
    const to = lines.indexOf(end) + 1
    const places = tree.checkpoints.map(({ before }) => before)
    // Functions stand above all of that, and are told by their names.
    const meanwhile = places.filter(
      ({ unit, line }) => unit === 'during' || ((line ?? 0) > from && (line ?? 0) <= to),
    )
    check(meanwhile).toEqual([])
    check(places.some(({ unit, line }) => unit === 'after' || unit === 'last' || (line ?? 0) > to)).toBe(true)
    check(tree.refusals.map((one) => one.why).join()).toMatch(why)
    check((await home.run(['tree', first.report.run])).stdout).toMatch(why)

    // Effects aside, an edit of the end goes on from after it, and one of the middle from before it.
    const flags = ['--effects', 'keep']
    project.edit('app.py', 'print("last")', 'print("LAST")')
    const ended = await project.run(PYTHON, { flags })
    check(ended).toMatchObject({ stdout: 'before\nduring\nafter\nLAST\n', report: { outcome: 'resumed' } })
    check(ended.report.checkpoint?.at_seconds).toBeGreaterThan(0.24)
    project.edit('app.py', 'print("during")', 'print("DURING")')
    const middle = await project.run(PYTHON, { flags })
    check(middle).toMatchObject({ stdout: 'before\nDURING\nafter\nLAST\n', report: { outcome: 'resumed' } })
    check(middle.report.checkpoint?.at_seconds).toBeLessThan(ended.report.checkpoint?.at_seconds ?? 0)
    check(middle.report.reason).toMatch(why)
  })
})
