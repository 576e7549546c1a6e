/** Calls of services: arguments, results, errors, concurrency, limits, cancelling, crashes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ServiceBench } from '../support/services.js'

const MAIN = `
import asyncio, os, sys, threading, time

SEEN = []

def score(x, y=1):
    return x * y

def keep(value):
    SEEN.append(value)
    return len(SEEN)

def seen(): return SEEN
def echo(*args, **kwargs): return [list(args), kwargs]
def size(data): return len(data)
def picture(): return b"\\x89PNG" + bytes(3)
def file(): return open(__file__, "rb")
def nothing(): pass
def strange(): return object()
def not_a_number(): return float("nan")
def raises(): raise KeyError("missing", 3)
def exits(): sys.exit(3)
def dies(): os.kill(os.getpid(), 9)
def crashes(code): os._exit(code)
def nap(seconds): time.sleep(seconds); return seconds
def spin():
    while True: pass
def prints():
    print("to stdout"); print("to stderr", file=sys.stderr); return 1
def chatters():
    while True: print("x" * 1000)
async def later(seconds):
    await asyncio.sleep(seconds)
    return threading.current_thread().name
def stubborn():
    while True:
        try: time.sleep(60)
        except BaseException: pass
def pid(): return os.getpid()

class OwnError(Exception): pass
def own(): raise OwnError("mine")
`

describe('a call', () => {
  let bench: ServiceBench
  beforeAll(async () => {
    bench = new ServiceBench()
    bench.write('main.py', MAIN)
    await bench.deploy('main')
  })
  afterAll(() => bench[Symbol.asyncDispose]())
  const call = (fn: string, input?: unknown, how = {}) => bench.call('main', fn, input, how)
  const refused = (fn: string, input?: unknown, how = {}) =>
    call(fn, input, how).then(
      (value) => expect.fail(`it returned ${JSON.stringify(value)}`),
      (error: { code: string; message: string; details: Record<string, unknown> }) => error,
    )

  it('takes positional arguments, named ones, or both', async () => {
    expect(await call('score', [3])).toBe(3)
    expect(await call('score', { x: 3, y: 2 })).toBe(6)
    expect(await call('score', { args: [3], kwargs: { y: 4 } })).toBe(12)
    expect(await call('nothing', '')).toBe(null)
    expect(await call('echo', { args: 1, other: 2 })).toEqual([[], { args: 1, other: 2 }])
  })

  it('takes and returns bytes as they are', async () => {
    expect(await call('size', '\0\x01\x02', { kind: 'bytes' })).toBe(3)
    expect(await call('picture')).toEqual(Buffer.from('\x89PNG\0\0\0', 'latin1'))
    expect(String(await call('file'))).toBe(MAIN)
  })

  it('refuses arguments that do not fit, with the signature', async () => {
    const error = await refused('score', [1, 2, 3])
    expect(error).toMatchObject({ code: 'ARGUMENTS_REFUSED' })
    expect(error.message).toContain('(x, y=1)')
    expect(await refused('score', '{"x":')).toMatchObject({ code: 'ARGUMENTS_REFUSED' })
    expect(await refused('score', '7')).toMatchObject({ code: 'ARGUMENTS_REFUSED' })
    expect(await refused('score', 'x', { kind: 'pickle' })).toMatchObject({ code: 'ARGUMENTS_REFUSED' })
  })

  it('refuses results that are no JSON', async () => {
    expect(await refused('strange')).toMatchObject({ code: 'RESULT_REFUSED' })
    expect(await refused('not_a_number')).toMatchObject({ code: 'RESULT_REFUSED' })
  })

  it('tells which names there are', async () => {
    const error = await refused('unheard')
    expect(error).toMatchObject({ code: 'FUNCTION_NOT_FOUND' })
    expect(error.message).toContain('score')
  })

  it('hands on what a function raises, with its traceback and the version of the code', async () => {
    const { code, details } = await refused('raises')
    expect(code).toBe('CALL_RAISED')
    expect(details).toMatchObject({ type: 'KeyError', module: 'builtins', args: ['missing', 3] })
    expect(details['traceback']).toMatch(/^Traceback.*\n {2}File ".*main.py", line \d+, in raises\n/)
    expect(details['traceback']).not.toContain('service_worker')
    expect(details['version']).toBe(bench.services.get('main').describe().version)
    expect(await refused('own')).toMatchObject({ details: { type: 'OwnError', module: 'main' } })
    expect(await refused('exits')).toMatchObject({ code: 'CALL_RAISED', details: { type: 'SystemExit' } })
    expect(await call('score', [1])).toBe(1)
  })

  it('hands on what it prints, and keeps it', async () => {
    const said: string[] = []
    await call('prints', [], {
      printed: (stream: string, bytes: Buffer) => void said.push(`${stream}: ${bytes.toString()}`),
    })
    expect(said).toEqual(['stdout: to stdout\n', 'stderr: to stderr\n'])
    let logged = ''
    for await (const { bytes } of bench.services.get('main').log.read(false)) logged += bytes.toString()
    expect(logged).toContain('to stdout\nto stderr\n')
  })

  it('keeps the state between calls', async () => {
    const before = (await call('seen')) as unknown[]
    await call('keep', ['a'])
    expect(await call('seen')).toEqual([...before, 'a'])
  })

  it('goes on beside others, in threads and on one loop', async () => {
    const begun = performance.now()
    await Promise.all(Array.from({ length: 5 }, () => call('nap', [1])))
    const names = await Promise.all(Array.from({ length: 5 }, () => call('later', [1])))
    expect(new Set(names).size).toBe(1)
    expect(performance.now() - begun).toBeLessThan(4000)
  })

  it('ends at its deadline, whatever it does', async () => {
    for (const fn of ['spin', 'chatters']) {
      expect(await refused(fn, [], { timeout: 0.3 }), fn).toMatchObject({ code: 'CALL_TIMEOUT' })
    }
    expect(await refused('nap', [60], { timeout: 0.2 })).toMatchObject({ code: 'CALL_TIMEOUT' })
    expect(await refused('later', [60], { timeout: 0.2 })).toMatchObject({ code: 'CALL_TIMEOUT' })
    expect(await call('score', [2])).toBe(2)
    expect(bench.services.get('main').running).toBe(0)
  })

  it('is interrupted when its caller goes away', async () => {
    const gone = new AbortController()
    const ended = refused('spin', [], { signal: gone.signal })
    setTimeout(() => gone.abort(), 100)
    expect(await ended).toMatchObject({ code: 'CANCELLED' })
    expect(bench.services.get('main').running).toBe(0)
  })

  it('fails alone when its process ends, which is replaced by one with the state right after loading', async () => {
    await call('keep', ['before'])
    const first = await call('pid')
    expect((await refused('dies')).message).toContain('SIGKILL')
    expect(await call('seen')).toEqual([])
    expect((await refused('crashes', [7])).message).toContain('exit code 7')
    expect(await call('pid')).not.toBe(first)
  })

  it('may name the version that has to answer', async () => {
    const { version } = bench.services.get('main').describe()
    const request = bench.request('score', [5])
    await expect(bench.services.call('main', request, 'other')).rejects.toMatchObject({
      code: 'CODE_VERSION',
    })
    expect((await bench.services.call('main', request, version)).version).toBe(version)
  })
})

describe('a service with limits', () => {
  let bench: ServiceBench
  beforeAll(() => {
    bench = new ServiceBench()
    bench.write('main.py', MAIN)
  })
  afterAll(() => bench[Symbol.asyncDispose]())

  it('lets as many calls wait as it may, and refuses the next', async () => {
    await bench.deploy('narrow', { concurrency: 1, queue: 2 })
    const three = [1, 2, 3].map(() => bench.call('narrow', 'nap', [0.3]))
    await expect(bench.call('narrow', 'nap', [0.3])).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      status: 429,
    })
    expect(await Promise.all(three)).toEqual([0.3, 0.3, 0.3])
  })

  it('replaces a worker in which every call is stuck', async () => {
    await bench.deploy('stuck', { concurrency: 1 })
    await expect(bench.call('stuck', 'stubborn', [], { timeout: 0.2 })).rejects.toMatchObject({
      code: 'CALL_TIMEOUT',
    })
    expect(await bench.call('stuck', 'score', [4])).toBe(4)
  })

  it('has workers with a state each, and memory that is shared', async () => {
    const { workers } = await bench.deploy('many', { workers: 3, concurrency: 1 })
    expect(workers).toHaveLength(3)
    const pids = await Promise.all(
      [1, 2, 3].map(() => bench.call('many', 'nap', [0.2]).then(() => bench.call('many', 'pid'))),
    )
    expect(pids).toHaveLength(3)
  })

  it('gives every call a fresh copy of the state where that is asked', async () => {
    await bench.deploy('clean', { isolation: 'call' })
    const how = { isolation: 'call' as const }
    for (let i = 0; i < 5; i++) expect(await bench.call('clean', 'keep', ['a'], how)).toBe(1)
    const pids = await Promise.all(Array.from({ length: 6 }, () => bench.call('clean', 'pid', [], how)))
    expect(new Set(pids).size).toBe(6)
    await expect(bench.call('clean', 'stubborn', [], { ...how, timeout: 0.2 })).rejects.toMatchObject({
      code: 'CALL_TIMEOUT',
    })
  })
})
