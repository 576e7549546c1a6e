import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../support/home.js'
import { Bench, COUNTER, TERMINAL, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

describe.skipIf(why !== null)('a program in a sandbox', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  const python = (text: string, ...args: string[]) => ['python3', '-c', text, ...args]

  it('ends with its code or its signal, and so does a clone', async () => {
    const one = await bench.launch(['sh', '-c', 'echo out; echo err >&2; exit 7'])
    expect(await one.ended).toMatchObject({ code: 7, signal: null, strays: 0 })
    expect([one.stdout, one.stderr]).toEqual(['out\n', 'err\n'])
    for (const signal of ['TERM', 'SEGV', 'KILL', 'USR1']) {
      const two = await bench.launch(['sh', '-c', `kill -${signal} $$`])
      expect(await two.ended).toMatchObject({ code: null, signal: `SIG${signal}` })
    }
    const waiting = await bench.launch(python(COUNTER))
    await waiting.prints('ready')
    const image = await bench.checkpoint(waiting)
    const [ends, killed] = [await bench.restore(image), await bench.restore(image)]
    await ends.type('exit\n')
    expect(await ends.ended).toMatchObject({ code: 1, signal: null })
    await killed.branch.signal('SIGTERM')
    expect(await killed.ended).toMatchObject({ code: null, signal: 'SIGTERM' })
    waiting.branch.endStdin()
    expect(await waiting.ended).toMatchObject({ code: 0 })
  })

  it('says what cannot be started', async () => {
    await expect(bench.launch(['no-such-program'])).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' })
    await expect(bench.launch(['/etc/passwd'])).rejects.toMatchObject({ code: 'NOT_EXECUTABLE' })
    await expect(bench.launch(['true'], { cwd: '/no/such' })).rejects.toMatchObject({
      code: 'DIRECTORY_GONE',
    })
  })

  it('goes on after a checkpoint, and again from it, up to the third generation', async () => {
    const one = await bench.launch(python(COUNTER))
    await one.prints('ready')
    await one.ask('a\n', '1 a')
    let image = await bench.checkpoint(one)
    await one.ask('b\n', '2 b')
    for (const [generation, n] of [2, 3, 4].entries()) {
      const two = await bench.restore(image)
      await two.ask('c\n', `${n} c`)
      expect(two.stdout).toBe(`${n} c\n`)
      const before = image
      image = await bench.checkpoint(two)
      expect(image.manifest.counts, String(generation)).toMatchObject({ stdin: 2, stdout: `${n} c\n`.length })
      await bench.engine.discard(before)
      expect(before.alive).toBe(false)
    }
    await one.type('exit\n')
    expect(await one.ended).toMatchObject({ code: 3, signal: null })
  })

  it('gets its unread input back, byte by byte, and then what the caller of the clone sends', async () => {
    const input = Buffer.from(Array.from({ length: 30_000 }, (_, i) => (i * 7) % 256))
    const one = await bench.launch(
      python(`
import sys, time, os
first = os.read(0, 100)
print("ready", flush=True)
while not os.path.exists("go"): time.sleep(.01)
rest = sys.stdin.buffer.read()
sys.stdout.buffer.write(first + rest)
`),
    )
    await one.branch.writeStdin(input)
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    expect(image.manifest.counts.stdin).toBe(100)
    writeFileSync(join(bench.project, 'go'), '')
    const two = await bench.restore(image)
    await two.branch.writeStdin(Buffer.from('more'))
    two.branch.endStdin()
    expect((await two.ended).code).toBe(0)
    expect(two.bytes().equals(Buffer.concat([input, Buffer.from('more')]))).toBe(true)
    one.branch.endStdin()
    await one.ended
    expect(one.bytes().subarray(6).equals(input)).toBe(true)
  })

  it('keeps the order of joined output, and cuts it at the checkpoint', async () => {
    const one = await bench.launch(
      python(`
import sys, time
for i in range(100000):
    (sys.stdout if i % 2 else sys.stderr).write(f"{i}\\n"); (sys.stdout if i % 2 else sys.stderr).flush()
`),
      { streams: { stdin: 'null', joined: true, terminal: null } },
    )
    await one.prints('\n1000\n')
    const image = await bench.checkpoint(one)
    const cut = image.manifest.counts.stdout
    const two = await bench.restore(image, { streams: { stdin: 'null', joined: true, terminal: null } })
    await Promise.all([one.ended, two.ended])
    const whole = Array.from({ length: 100_000 }, (_, i) => `${i}\n`).join('')
    expect(one.stdout).toBe(whole)
    expect(whole.slice(0, cut) + two.stdout).toBe(whole)
  })

  it('has a terminal again, with its size, ^C, and jobs', async () => {
    const one = await bench.launch(['bash', '--norc', '--noprofile', '-i'], { streams: TERMINAL })
    await one.ask('PS1="p> "; x=41; sleep 1000 &\n', '[1]')
    await one.ask('stty size\n', '24 80')
    const image = await bench.checkpoint(one)
    const two = await bench.restore(image, {
      streams: { ...TERMINAL, terminal: { rows: 50, cols: 132 } },
    })
    await two.ask('echo $((x + 1)); stty size\n', '50 132')
    expect(two.stdout).toContain('42')
    await two.ask('jobs\n', 'sleep 1000')
    await two.type('sleep 500\n')
    await new Promise((resolve) => setTimeout(resolve, 300))
    await two.type('\x03')
    await two.ask('echo after $?\n', 'after 130')
    await two.type('sleep 500\n')
    await new Promise((resolve) => setTimeout(resolve, 300))
    await two.type('\x1a')
    await two.prints('Stopped')
    await two.branch.resize({ rows: 10, cols: 20 })
    await two.ask('stty size\n', '10 20')
    await two.type('kill %1 %2; exit 5\n')
    await two.type('exit 5\n')
    expect(await two.ended).toMatchObject({ code: 5 })
    await one.ask('echo still $x\n', 'still 41')
  })

  it('keeps what has left its tree: daemons are part of the image', async () => {
    const one = await bench.launch([
      'bash',
      '-c',
      `(setsid bash -c 'i=0; while :; do i=$((i+1)); echo $i > ticks; sleep .05; done' &) ; sleep .3; read x; kill -0 $(pgrep -f "echo .i > ticks" | head -1); echo alive $?; cat ticks`,
    ])
    await until('it ticks', () => readIf(join(bench.project, 'ticks')) > 2)
    const image = await bench.checkpoint(one)
    const two = await bench.restore(image)
    await new Promise((resolve) => setTimeout(resolve, 300))
    await two.type('\n')
    const exit = await two.ended
    expect(two.stdout).toMatch(/^alive 0\n\d+\n$/)
    expect(exit.strays).toBeGreaterThan(0)
  })

  it('has /tmp, /dev/shm and System V memory of its own, and in its checkpoints', async () => {
    mkdirSync(join(bench.project, 'sub'))
    const one = await bench.launch(
      python(`
import os, sys, subprocess
open("/tmp/mine", "w").write("first")
open("/dev/shm/mine", "w").write("first")
id = subprocess.run(["ipcmk", "-M", "4096"], capture_output=True, text=True).stdout
from multiprocessing import shared_memory
m = shared_memory.SharedMemory(create=True, size=1 << 20); m.buf[5] = 42
print("ready", flush=True)
for line in sys.stdin:
    print(open("/tmp/mine").read(), open("/dev/shm/mine").read(), m.buf[5],
          subprocess.run(["ipcs", "-m"], capture_output=True, text=True).stdout.count("4096"), flush=True)
    open("/tmp/mine", "a").write("+"); open("/dev/shm/mine", "a").write("+"); m.buf[5] += 1
`),
    )
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    await one.ask('\n', 'first first 42 1')
    for (let i = 0; i < 2; i++) {
      const two = await bench.restore(image)
      await two.ask('\n', 'first first 42 1')
      await two.ask('\n', 'first+ first+ 43 1')
    }
  })

  it('writes apart in clones, and finds open files as they were', async () => {
    const one = await bench.launch(
      python(`
import sys, sqlite3
log = open("log", "a"); log.write("start\\n"); log.flush()
db = sqlite3.connect("data.db"); db.execute("create table t (x)"); db.commit()
db.execute("insert into t values (1)")
print("ready", flush=True)
for line in sys.stdin:
    log.write(line); log.flush()
    db.execute("insert into t values (?)", (line.strip(),)); db.commit()
    print(open("log").read().split(), [x for (x,) in db.execute("select x from t")], flush=True)
`),
    )
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    await one.ask('main\n', `['start', 'main'] [1, 'main']`)
    const clones = await Promise.all([1, 2, 3].map(() => bench.restore(image)))
    for (const [i, two] of clones.entries()) await two.ask(`c${i}\n`, `['start', 'c${i}'] [1, 'c${i}']`)
    await one.ask('again\n', `['start', 'main', 'again'] [1, 'main', 'again']`)
    expect(readFileSync(join(bench.project, 'log'), 'utf8')).toBe('start\nmain\nagain\n')
  })
})

function readIf(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return 0
  }
}
