import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']
const hasNumpy = spawnSync('python3', ['-c', 'import numpy']).status === 0

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

const ALGEBRA = `${WORK}
import os
import numpy as np

def bits(array):
    print(array.tobytes().hex()[:48], float(array.sum()).hex())

seen = []

def multiply(a):
    b = a @ a.T
    seen.append(len(os.listdir("/proc/self/task")))
    return b

def solve(b):
    return np.linalg.solve(b + np.eye(len(b)), np.ones(len(b)))

def values(b):
    return np.linalg.eigvalsh(b[:200, :200])

def last(b, w, e):
    bits(multiply(b)[0])
    bits(w)
    bits(e)
    print("last")

def main():
    a = np.random.default_rng(5).normal(size=(300, 300))
    work()
    b = multiply(a)
    bits(b)
    work()
    w = solve(b)
    bits(w)
    work()
    e = values(b)
    work()
    last(b, w, e)
    print("threads", min(seen) > 1)

main()
`

describe.skipIf(!hasNumpy)('the threads of OpenBLAS', () => {
  it(
    'are no obstacle, and the results are the same bits, with any number of them',
    { timeout: 120_000 },
    async () => {
      for (const count of ['1', '2']) {
        const project = new Project(home, `algebra-${count}`)
        project.write('app.py', ALGEBRA)
        const env = { OPENBLAS_NUM_THREADS: count }
        const told = await project.run(PYTHON, { env })
        expect(told.stdout).toBe(project.plain(PYTHON, { env }).stdout)
        expect(told.stdout.includes('threads True')).toBe(count !== '1')
        const tree = await project.tree(told.report.run)
        expect(tree.refusals).toEqual([])
        for (const [before, after, earliest] of [
          ['print("last")', 'print("LAST")', 0.3],
          ['print("LAST")', 'print("Last")', 0.3],
          ['eigvalsh(b[:200, :200])', 'eigvalsh(b[:150, :150])', 0.2],
          ['+ np.eye', '+ 2 * np.eye', 0.15],
        ] as const) {
          project.edit('app.py', before, after)
          const again = await project.run(PYTHON, { env })
          expect(again.stdout, after).toBe(project.plain(PYTHON, { env }).stdout)
          expect(again.report.checkpoint?.at_seconds, after).toBeGreaterThan(earliest)
        }
      }
    },
  )

  it('decide in what order is added: their number is an input', async () => {
    const project = new Project(home, 'number')
    project.write('app.py', ALGEBRA)
    for (const count of ['2', '1', '2']) {
      const env = { OPENBLAS_NUM_THREADS: count }
      const told = await project.run(PYTHON, { env })
      expect(told.stdout, count).toBe(project.plain(PYTHON, { env }).stdout)
    }
  })
})

it('a thread that nobody knows is refused by name, and checkpoints go on without it', async () => {
  const project = new Project(home, 'native')
  project.write(
    'app.py',
    `${WORK}
import ctypes
c = ctypes.CDLL(None)
thread = ctypes.c_ulong()
def first():
    print("first")
def during():
    print("during")
def after():
    print("after")
work()
first()
c.pthread_create(ctypes.byref(thread), None, c.pause, None)
c.prctl(15, b"main")
work()
during()
work()
c.pthread_cancel(thread)
c.pthread_join(thread, None)
work()
after()
`,
  )
  const { report } = await project.run(PYTHON)
  const tree = await project.tree(report.run)
  expect(tree.refusals.map((one) => one.why).join()).toMatch(
    /native threads are running \(a thread named python3?/,
  )
  expect(tree.checkpoints.map(({ before }) => before.unit)).not.toContain('during')
  project.edit('app.py', 'print("after")', 'print("AFTER")')
  const again = await project.run(PYTHON)
  expect(again.stdout).toBe('first\nduring\nAFTER\n')
  const behind = again.report.checkpoint?.at_seconds ?? 0
  expect(behind).toBeGreaterThan(0.2)
  project.edit('app.py', 'print("during")', 'print("DURING")')
  const middle = await project.run(PYTHON)
  expect(middle.stdout).toBe('first\nDURING\nAFTER\n')
  // Nothing between the thread's beginning and its end will do.
  expect(middle.report.checkpoint?.at_seconds).toBeLessThan(behind - 0.08)
  expect(middle.report.reason).toMatch(/native threads are running/)
})

const hasCompiler = spawnSync('cc', ['--version']).status === 0

it.skipIf(!hasCompiler)('the library that a native thread runs in is named', async () => {
  const project = new Project(home, 'named')
  project.write(
    'workers.c',
    `#include <pthread.h>
#include <unistd.h>
static void *run(void *x) { for (;;) pause(); return x; }
void begin(void) { pthread_t thread; pthread_create(&thread, 0, run, 0); }
`,
  )
  const built = project.plain(['cc', '-shared', '-fPIC', '-o', 'libworkers.so', 'workers.c', '-lpthread'])
  expect(built.code, built.stderr).toBe(0)
  project.write(
    'app.py',
    `${WORK}
import ctypes
def late():
    print("late")
ctypes.CDLL("./libworkers.so").begin()
work()
late()
`,
  )
  const { report, stdout } = await project.run(PYTHON)
  expect(stdout).toBe('late\n')
  const tree = await project.tree(report.run)
  expect(tree.refusals.map((one) => one.why)).toEqual(['native threads are running (libworkers.so)'])
})

it('Python threads that have ended are no obstacle', async () => {
  const project = new Project(home, 'ended')
  project.write(
    'app.py',
    `${WORK}
import threading
from concurrent.futures import ThreadPoolExecutor
def middle():
    work()
def late():
    print("late", threading.active_count(), threading.main_thread().native_id == threading.get_native_id())
    with ThreadPoolExecutor(2) as pool:
        print(list(pool.map(abs, [-1, 2])))
with ThreadPoolExecutor(2) as pool:
    print(list(pool.map(abs, [-1, 2])))
threads = [threading.Thread(target=bytes, args=(10**6,)) for _ in range(4)]
for one in threads: one.start()
for one in threads: one.join()
work()
middle()
late()
`,
  )
  await project.run(PYTHON)
  project.edit('app.py', '"late"', '"LATE"')
  const again = await project.run(PYTHON)
  expect(again.stdout).toBe('[1, 2]\nLATE 1 True\n[1, 2]\n')
  expect(again.report.outcome).toBe('resumed')
  expect(again.report.checkpoint?.at_seconds).toBeGreaterThan(0.15)
})

const mayMakeTimeNamespaces = spawnSync('unshare', ['--time', 'true']).status === 0

it.skipIf(!mayMakeTimeNamespaces)('monotonic clocks do not count the time spent parked', async () => {
  const project = new Project(home, 'clock')
  project.write(
    'app.py',
    `${WORK}
import subprocess
from time import monotonic, perf_counter_ns
def late(number):
    print(number, monotonic() - begun < 1, perf_counter_ns() - fine < 1e9)
    work()
    later(number)
def later(number):
    work()
    last(number)
def last(number):
    print(monotonic() - begun < 1, monotonic() - begun > 0.2)
begun, fine = monotonic(), perf_counter_ns()
work()
late(1)
`,
  )
  await project.run(PYTHON)
  for (const [before, after] of [
    ['late(1)', 'late(2)'],
    ['monotonic() - begun > 0.2)', 'monotonic() - begun > 0.21)'],
    ['monotonic() - begun > 0.21)', 'monotonic() - begun > 0.22)'],
  ] as const) {
    await new Promise((resolve) => setTimeout(resolve, 1100))
    project.edit('app.py', before, after)
    const again = await project.run(PYTHON)
    expect(again.stdout).toBe('2 True True\nTrue True\n')
    expect(again.report.outcome).toBe('resumed')
  }
})
