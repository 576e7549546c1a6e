import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CheckpointNode, RunSummary } from '@thaw/protocol'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, root, until } from '../support/home.js'
import { findInterpreter, passedOver, usualVersion, VERSIONS } from '../support/interpreters.js'
import { whyNot } from '../support/process.js'
import { Project, WORK } from '../support/project.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/process/python.test.ts is skipped: ${why}`)

const PYTHON = ['python3', '-u', 'app.py']
const SANDBOX = { flags: ['--engine', 'process'] }
const MINUTE = 60_000

let home: Home
beforeAll(() => {
  home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_FACTOR: '1' })
})
afterAll(() => home[Symbol.asyncDispose]())

/** Runs it under thaw and plainly; both must agree. */
async function both(project: Project, flags: string[] = [], command = PYTHON, input = '') {
  const told = await project.run(command, { flags, input })
  const left = project.files()
  const plain = project.plain(command, { input })
  expect({ ...told, report: null }).toEqual({ ...plain, report: null })
  expect(left).toEqual(project.files())
  return told.report
}

/** Consumers of a queue that live to the end. */
const CONSUMERS = `${WORK}
import queue, threading
orders, done = queue.Queue(), []

def price(number):
    return number * 3 % 17

def consume():
    while True:
        number = orders.get()
        done.append(price(number))
        orders.task_done()

threads = [threading.Thread(target=consume, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()

def serve(first):
    for number in range(first, first + 20):
        orders.put(number)
    orders.join()
    work(0.4)

def one():
    serve(1)
    print("one", sum(done))

def two():
    serve(30)
    print("two", sum(done))

def three():
    print("three", sorted(done)[:4], threading.active_count())

one()
two()
three()
`

describe.skipIf(why !== null)('a Python program in a sandbox', { timeout: 5 * MINUTE }, () => {
  it('goes on beside its living threads, and moves there by itself', async () => {
    const project = new Project(home, 'consumers')
    project.write('app.py', CONSUMERS)
    const first = await both(project)
    expect(first).toMatchObject({ outcome: 'cold', engine: 'fork' })
    project.edit('app.py', '"three"', '"3"')
    const second = await both(project)
    expect(second).toMatchObject({ outcome: 'cold', engine: 'process' })
    expect(second.reason).toContain('another thread is running; it runs in a sandbox from now on')
    project.edit('app.py', '"3", sorted(done)[:4]', '"third", sorted(done)[:5]')
    const third = await both(project)
    expect(third).toMatchObject({ outcome: 'resumed', engine: 'process', reason: null })
    expect(third.checkpoint?.at_seconds).toBeGreaterThan(0.3)
    expect(await both(project)).toMatchObject({ outcome: 'replayed' })
    project.edit('app.py', 'serve(30)', 'serve(50)')
    const fourth = await both(project)
    expect(fourth).toMatchObject({ outcome: 'resumed', engine: 'process' })
    // What the threads run cannot be exchanged under them.
    project.edit('app.py', 'number = orders.get()', 'number = orders.get() + 1')
    const fifth = await both(project)
    expect(fifth).toMatchObject({ outcome: 'cold', engine: 'process' })
    project.edit('app.py', '% 17', '% 19')
    expect(await both(project)).toMatchObject({ outcome: 'cold', engine: 'process' })
    // A shorter one, under the other engine again.
    expect(await both(project, ['--engine', 'fork'])).toMatchObject({ engine: 'fork' })
  })

  it.for(VERSIONS.filter((version) => version !== usualVersion()))(
    'does so under CPython %s',
    async (version, { skip }) => {
      const python = findInterpreter(version)
      const why = passedOver(version)
      if (python === null || why !== null) return skip(why ?? '')
      const project = new Project(home, `consumers-${version}`)
      const command = [python, '-u', 'app.py']
      project.write('app.py', CONSUMERS)
      await both(project, [], command)
      project.edit('app.py', '"three"', '"3"')
      expect(await both(project, SANDBOX.flags, command)).toMatchObject({
        outcome: 'cold',
        engine: 'process',
      })
      project.edit('app.py', 'serve(30)', 'serve(50)')
      expect(await both(project, [], command)).toMatchObject({ outcome: 'resumed', engine: 'process' })
    },
  )

  it('stays as it is where most of it is spared already', async () => {
    const project = new Project(home, 'spared')
    project.write(
      'app.py',
      `${WORK}
import threading
def load():
    work(0.8)
def late():
    thread = threading.Thread(target=work, args=(0.1,))
    thread.start()
    middle()
    thread.join()
def middle():
    work(0.05)
    last()
def last():
    print("last")
load()
late()
`,
    )
    expect((await both(project)).outcome).toBe('cold')
    project.edit('app.py', '"last"', '"LAST"')
    expect(await both(project)).toMatchObject({ outcome: 'resumed', engine: 'fork' })
  })

  it('goes on with a pool, a lock and a file that stay open', async () => {
    const project = new Project(home, 'pool')
    project.write('in.txt', '5\n6\n7\n')
    project.write(
      'app.py',
      `${WORK}
import threading
from concurrent.futures import ThreadPoolExecutor
lock = threading.RLock()
log = open("log.txt", "w")

def note(text):
    with lock:
        log.write(text + "\\n")
        log.flush()

def square(n):
    return n * n

def numbers():
    return [int(line) for line in open("in.txt")]

def after():
    note("after")
    work(0.5)

def last(pool):
    note("last")
    print("last", list(pool.map(cube, [1, 2])))

def cube(n):
    return n ** 3

with ThreadPoolExecutor(2) as pool:
    work(0.3)
    note("begin")
    print(sum(pool.map(square, range(5))))
    with lock:
        work(0.3)
        after()
    last(pool)
log.close()
open("written.txt", "a").write("once\\n")
print(len(open("log.txt").readlines()), numbers())
`,
    )
    // The first use of note() is the main thread's alone: a checkpoint there, and before last(), is certain.
    // Whether there is one before square() is a matter of what the other threads just do.
    // What is appended adds up: each side in a directory of its own.
    const twin = new Project(home, 'pool-cold')
    const check = async (outcome: string, flags: string[] = SANDBOX.flags) => {
      for (const name of ['app.py', 'in.txt']) twin.write(name, project.read(name))
      const told = await project.run(PYTHON, { flags })
      const plain = twin.plain(PYTHON)
      expect({ ...told, report: null }).toEqual({ ...plain, report: null })
      expect(project.files()).toEqual(twin.files())
      expect(told.report.outcome).toBe(outcome)
      return told.report
    }
    await check('cold')
    project.edit('app.py', '"last", list', '"LAST", list')
    const report = await check('resumed')
    expect(report.checkpoint?.line).toBe(27)
    project.edit('app.py', 'n ** 3', 'n ** 4')
    expect((await check('resumed')).checkpoint?.line).toBe(27)
    project.edit('app.py', 'note("after")', 'note("afterwards")')
    await check('resumed')
    project.write('in.txt', '8\n')
    await check('resumed')
    project.edit('app.py', 'n * n', 'n * n + 1')
    await check('resumed')
  })

  it('begins before the first child process, which is done again', async () => {
    const project = new Project(home, 'processes')
    project.write(
      'app.py',
      `${WORK}
import multiprocessing, threading
stop = threading.Event()
waiter = threading.Thread(target=stop.wait)
waiter.start()

def task(n):
    return n * 7

def early():
    work(0.3)

def pool():
    with multiprocessing.get_context("fork").Pool(2) as workers:
        print(workers.map(task, range(4)))

def last():
    print("last")

early()
pool()
work(0.2)
last()
stop.set()
`,
    )
    await both(project, SANDBOX.flags)
    project.edit('app.py', '"last"', '"LAST"')
    const late = await both(project, SANDBOX.flags)
    expect(late).toMatchObject({ outcome: 'resumed', checkpoint: { line: 26 } })
    expect(late.reason).toContain('has to happen again')
    project.edit('app.py', 'n * 7', 'n * 8')
    expect(await both(project, SANDBOX.flags)).toMatchObject({ outcome: 'resumed' })
    const again = await project.run(PYTHON, SANDBOX)
    expect(again.report.outcome).toBe('resumed')
  })

  it('keeps a living child with --effects keep', async () => {
    const project = new Project(home, 'child')
    project.write(
      'app.py',
      `${WORK}
import subprocess
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

def ask(word):
    child.stdin.write(word + "\\n")
    child.stdin.flush()
    return child.stdout.readline().strip()

def first():
    print(ask("one"))
    work(0.3)

def last():
    print(ask("two"))

first()
last()
child.stdin.close()
print(child.wait())
`,
    )
    const flags = [...SANDBOX.flags, '--effects', 'keep']
    await both(project, flags)
    project.edit('app.py', '"two"', '"three"')
    const kept = await both(project, flags)
    expect(kept).toMatchObject({ outcome: 'resumed', checkpoint: { line: 23 } })
    expect(kept.kept_effects).toEqual(['subprocess cat'])
    project.edit('app.py', '"three"', '"four"')
    const redone = await both(project, SANDBOX.flags)
    expect(redone.outcome).toBe('cold')
    expect(redone.reason).toContain('subprocess cat has to happen again')
  })

  it('goes on with connections over a loopback of its own', async () => {
    const project = new Project(home, 'loopback')
    project.write(
      'app.py',
      `${WORK}
import asyncio

async def answer(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()
    over.set()

def pause():
    work(0.3)

def last(heard):
    print("last", heard)

async def main():
    global over
    over = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 18766)
    reader, writer = await asyncio.open_connection("127.0.0.1", 18766)
    heard = []
    for word in (b"one", b"two"):
        writer.write(word + b"\\n")
        heard.append((await reader.readline()).decode().strip())
    pause()
    last(heard)
    writer.write(b"three\\n")
    print((await reader.readline()).decode().strip())
    writer.close()
    await over.wait()
    server.close()

asyncio.run(main())
`,
    )
    const flags = ['--net', 'private']
    expect(await both(project, flags)).toMatchObject({ outcome: 'cold', engine: 'process' })
    project.edit('app.py', '"last"', '"LAST"')
    expect(await both(project, flags)).toMatchObject({ outcome: 'resumed', checkpoint: { before: 'last' } })
    // On the machine's own network others may have come.
    project.edit('app.py', '"LAST"', '"late"')
    const shared = await both(project, SANDBOX.flags)
    expect(shared).toMatchObject({ outcome: 'cold' })
    project.edit('app.py', '"late"', '"later"')
    expect((await both(project, SANDBOX.flags)).reason).toContain('has to happen again')
  })

  it('goes on after its daemon has ended, or was killed', async () => {
    const project = new Project(home, 'outlives')
    project.write('app.py', CONSUMERS)
    await both(project, SANDBOX.flags)
    await home.run(['daemon', 'stop'])
    await home.run(['gc'])
    expect(await both(project, SANDBOX.flags)).toMatchObject({ outcome: 'replayed' })
    await home.run(['gc'])
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    project.edit('app.py', '"three"', '"3"')
    const third = await both(project)
    expect(third).toMatchObject({ outcome: 'resumed', engine: 'process' })
    await home.run(['daemon', 'stop'])
    const id = third.checkpoint?.id ?? ''
    const several = await project.resume(['-n', '2', id])
    expect(several.code).toBe(0)
    expect(several.stdout.split('\n').filter((line) => / 3 \[/.test(line))).toHaveLength(2)
    await home.run(['rm', '--cascade', third.run])
    const images = join(home.directory, 'home', 'state', 'runs', third.run)
    expect(() => readdirSync(images)).toThrow()
  })

  it('leaves no image of a run that its daemon did not see the end of', async () => {
    const project = new Project(home, 'interrupted')
    project.write('app.py', CONSUMERS.replace('three()\n', 'three()\nwork(60)\n'))
    const running = project.start(PYTHON, SANDBOX)
    await until('it is late', () => running.text('stdout').includes('three'), 30)
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    await running.ended
    project.write('app.py', CONSUMERS)
    const report = await both(project, SANDBOX.flags)
    expect(report.outcome).toBe('cold')
    const { checkpoints } = await project.tree(report.run)
    const images = join(home.directory, 'home', 'state', 'runs', report.run, 'images')
    expect(readdirSync(images)).toHaveLength(checkpoints.filter(({ state }) => state === 'parked').length)
  })

  it('stops at a place in its code, and is asked for checkpoints', async () => {
    const project = new Project(home, 'stops')
    project.write('app.py', CONSUMERS)
    const stopped = await project.run(PYTHON, { flags: [...SANDBOX.flags, '--break', 'app.py:two'] })
    expect(stopped).toMatchObject({ code: 0, report: { outcome: 'stopped', engine: 'process' } })
    expect(stopped.stdout).toMatch(/^one \d+\n$/)
    const id = stopped.report.checkpoint?.id ?? ''
    const rest = project.plain(PYTHON).stdout.split('\n').slice(1).join('\n')
    for (let i = 0; i < 2; i++) expect((await project.resume([id])).stdout).toBe(rest)
    project.edit('app.py', '"three"', '"3"')
    const edited = await project.resume([id])
    expect(edited.stdout).toBe(rest.replace('three', '3'))
    const hot = await project.resume(['--hot', id])
    expect(hot).toMatchObject({ code: 0, stdout: rest.replace('three', '3') })
    project.write('app.py', CONSUMERS.replace('three()\n', 'work(8)\nthree()\n'))
    const running = project.start(PYTHON, SANDBOX)
    await until('it is under way', () => running.text('stdout').includes('two'), 30)
    const run = (await home.json<RunSummary[]>(['ls'])).find(({ state }) => state === 'live')
    const node = await home.json<CheckpointNode>(['checkpoint', run?.id ?? '', '--name', 'mine'])
    expect(node).toMatchObject({ kind: 'asked', name: 'mine' })
    await running.told
    expect((await project.resume(['mine'])).stdout).toMatch(/^(two \d+\n)?three /)
  })

  it('is asked by the program itself, and runs what it wants run after a restore', async () => {
    const venv = join(home.directory, 'venv')
    const python = join(venv, 'bin', 'python')
    for (const [file = '', ...args] of [
      ['python3', '-m', 'venv', venv],
      [python, '-m', 'pip', 'install', '-q', '--no-index', join(root, 'agents', 'python')],
    ]) {
      const done = spawnSync(file, args, { env: home.env, encoding: 'utf8' })
      if (done.status !== 0) throw new Error(done.stderr)
    }
    const project = new Project(home, 'marks')
    project.write(
      'app.py',
      `${WORK}
import threading, thaw
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
told = []
thaw.after_restore(lambda: told.append(thaw.branch()))
work(0.1)
thaw.checkpoint("loaded")
print("told", told)
stop.set()
`,
    )
    const command = [python, 'app.py']
    await both(project, SANDBOX.flags, command)
    const several = await project.resume(['-n', '2', 'loaded'])
    expect(several.stdout.split('\n').sort().slice(1)).toEqual(['[1] told [1]', '[2] told [2]'])
    project.edit('app.py', '"told"', '"said"')
    const edited = await both(project, SANDBOX.flags, command)
    expect(edited.outcome).toBe('resumed')
  })

  it('takes what comes on stdin once', async () => {
    const project = new Project(home, 'stdin')
    project.write(
      'app.py',
      `${WORK}
import sys, threading
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
def first():
    print(sys.stdin.readline().strip())
    work(0.3)
def second():
    print("then", sys.stdin.read().split())
first()
second()
stop.set()
`,
    )
    await both(project, SANDBOX.flags, PYTHON, 'one\ntwo\nthree\n')
    project.edit('app.py', '"then"', '"and"')
    expect(await both(project, SANDBOX.flags, PYTHON, 'one\ntwo\nthree\n')).toMatchObject({
      outcome: 'resumed',
      checkpoint: { line: 17 },
    })
    expect((await both(project, SANDBOX.flags, PYTHON, 'other\ntwo\n')).outcome).toBe('cold')
  })

  it('finds what a plain one finds', async () => {
    const project = new Project(home, 'surroundings')
    project.write(
      'app.py',
      `import os, sys, socket, tempfile, threading, json, resource
threading.Thread(target=lambda: None).start()
print(sys.argv, os.getcwd(), sorted(os.environ), socket.gethostname(), tempfile.gettempdir())
print([stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)], sys.stdout.encoding, sys.flags)
print(sorted(os.listdir("/tmp")) == sorted(os.listdir(tempfile.gettempdir())), os.umask(0), sys.path)
print(threading.current_thread().name, sys.getrecursionlimit(), os.path.exists("/run/.thaw-order"))
`,
    )
    await both(project, SANDBOX.flags, ['python3', 'app.py', 'a', 'b'])
  })
})
