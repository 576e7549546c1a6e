/** Calls that meet a change of their service, and calls that go wrong in ways of their own: each has its answer. */
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openScope } from '../../packages/thaw/src/system/index.js'
import { Api } from '../support/api.js'
import { Home, until } from '../support/home.js'
import { whyNot } from '../support/process.js'
import { ServiceBench } from '../support/services.js'

const MAIN = `
import asyncio, os, re, sys, threading, time
import thaw
MARK = 1
STATE = []
def mark(): return MARK
def put(value): STATE.append(value); return len(STATE)
def nap(seconds): time.sleep(seconds); return seconds
def spin():
    while True: pass
def score(x, y=1): return x * y
def grow(megabytes): STATE.append(bytearray(b"x" * (megabytes << 20)))
def holds(): return re.match("(a+)+b", "a" * 60)
def nested():
    found = []
    for _ in range(100_000): found = [found]
    return found
def circle():
    found = []
    found.append(found)
    return found
def names(): return {(1, 2): 3}
def text(): return {"bytes": [b"x"]}
def surrogate(): return "\\ud800"
def huge(): return b"x" * (300 << 20)
def loud(): raise ValueError("x" * (300 << 20))
PRINTED = 0
def chatters():
    global PRINTED
    while True:
        print("x" * 4000)
        PRINTED += 1
def printed(): return PRINTED
def request(): return thaw.request_id()
async def request_later():
    await asyncio.sleep(0)
    return thaw.request_id()
`

const why = await whyNot()
if (why !== null) console.warn(`tests/services/edges.test.ts is skipped in part: ${why}`)

const code = (promise: Promise<unknown>) =>
  promise.then(
    (value) => ({ value }),
    (error: { code: string; message: string }) => ({ code: error.code, message: error.message }),
  )
const soon = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

describe('a call', () => {
  let bench: ServiceBench
  beforeEach(() => {
    bench = new ServiceBench()
    bench.write('main.py', MAIN)
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const of = () => bench.services.get('main')

  it('during a reload waits for the new code', async () => {
    await bench.deploy('main')
    bench.write('main.py', MAIN.replace('MARK = 1', 'MARK = [time.sleep(0.7), 2][1]'))
    const all = [bench.call('main', 'mark')]
    for (let i = 0; i < 4; i++) {
      await soon(100)
      all.push(bench.call('main', 'mark'))
    }
    expect(of().describe().waiting).toBe(5)
    expect(await Promise.all(all)).toEqual([2, 2, 2, 2, 2])
  })

  it('that waits for its turn has the code of when it begins', async () => {
    await bench.deploy('main', { concurrency: 1 })
    const running = bench.call('main', 'nap', [0.5])
    const waiting = Array.from({ length: 5 }, () => bench.answer('main', 'mark'))
    await soon(100)
    bench.write('main.py', MAIN.replace('MARK = 1', 'MARK = 2'))
    expect(await bench.call('main', 'mark')).toBe(2)
    const { version } = of().describe()
    for (const one of await Promise.all(waiting)) {
      expect(one.body.toString()).toBe(one.version === version ? '2' : '1')
    }
    await running
  })

  it('during a start is one of as many as may wait', async () => {
    bench.write('slow.py', 'import time\ntime.sleep(0.8)\ndef get(): return 1\n')
    const started = bench.deploy('slow', { concurrency: 1, queue: 2 }, 'slow.py')
    await soon(100)
    const calls = Array.from({ length: 4 }, () => code(bench.call('slow', 'get')))
    await started
    const ends = await Promise.all(calls)
    expect(ends.filter((one) => 'value' in one)).toHaveLength(3)
    expect(ends.filter((one) => 'code' in one && one.code === 'QUEUE_FULL')).toHaveLength(1)
  })

  it('whose caller goes away while it waits leaves its place to the next', async () => {
    await bench.deploy('main', { concurrency: 1 })
    const running = bench.call('main', 'nap', [0.4])
    const gone = new AbortController()
    const first = code(bench.call('main', 'nap', [9], { signal: gone.signal }))
    const late = code(bench.call('main', 'nap', [9], { timeout: 0.15 }))
    const last = bench.call('main', 'mark')
    await soon(100)
    gone.abort()
    expect(await first).toMatchObject({ code: 'CANCELLED' })
    expect(await late).toMatchObject({ code: 'CALL_TIMEOUT' })
    expect(await last).toBe(1)
    await running
    expect(of().describe()).toMatchObject({ running: 0, waiting: 0 })
  })

  it('whose caller goes away at once does not go on', async () => {
    await bench.deploy('main')
    for (let i = 0; i < 15; i++) {
      const gone = new AbortController()
      const ended = code(bench.call('main', 'spin', [], { signal: gone.signal }))
      if (i % 3 > 0) await soon((i % 3) - 1)
      gone.abort()
      expect(await ended).toMatchObject({ code: 'CANCELLED' })
    }
    await until('none runs', () => of().running === 0)
  })

  it('that waits when its service is removed is told so', async () => {
    await bench.deploy('main', { concurrency: 1 })
    const running = code(bench.call('main', 'nap', [60]))
    const waiting = code(bench.call('main', 'mark'))
    await soon(100)
    const { pids } = of()
    await bench.services.remove('main')
    expect(await running).toMatchObject({ code: 'WORKER_CRASHED' })
    expect(await waiting).toMatchObject({ code: 'SERVICE_NOT_FOUND' })
    await until('its processes are gone', () => !pids.some((pid) => isThere(pid)))
  })

  it('that holds the interpreter ends at its deadline, and its worker is replaced', async () => {
    await bench.deploy('main')
    await bench.call('main', 'put', ['before'])
    const held = code(bench.call('main', 'holds', [], { timeout: 0.3 }))
    await soon(500)
    // Nothing else in the worker can go on.
    const beside = code(bench.call('main', 'mark'))
    expect(await held).toMatchObject({ code: 'CALL_TIMEOUT' })
    expect(await beside).toMatchObject({ code: 'WORKER_CRASHED' })
    expect(await bench.call('main', 'put', ['after'])).toBe(1)
    expect(of().running).toBe(0)
  })

  it.skipIf(why !== null)('during a freeze, and during a thaw, is only slower', async () => {
    await bench.deploy('main', { engine: 'process' })
    expect(await bench.call('main', 'put', ['a'])).toBe(1)
    const running = bench.call('main', 'nap', [0.5])
    const freezing = of().freeze(openScope())
    const during = Array.from({ length: 3 }, () => bench.call('main', 'put', ['b']))
    await freezing
    expect(await running).toBe(0.5)
    await until('it is being thawed', () => of().state !== 'frozen')
    during.push(bench.call('main', 'put', ['c']))
    expect((await Promise.all(during)).sort()).toEqual([2, 3, 4, 5])
    expect(of().describe()).toMatchObject({ state: 'ready' })
    expect(of().describe().thaw_seconds).toBeGreaterThan(0)
  })
})

const isThere = (pid: number) => {
  try {
    return /^State:\s+[^Z]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

describe('over HTTP, a call', () => {
  let home: Home
  let api: Api
  beforeAll(async () => {
    home = new Home()
    api = await Api.start(home)
    const source = { file: home.write('main.py', MAIN) }
    const compute = { engine: 'plain', env: { ...home.env, PYTHONDONTWRITEBYTECODE: '1' } }
    expect(await api.post('/v1/services', { name: 'main', source, compute })).toMatchObject({ status: 200 })
  }, 60_000)
  afterAll(() => home[Symbol.asyncDispose]())
  const call = (fn: string, input: unknown = [], headers: Record<string, string> = {}) =>
    api.post(`/v1/services/main/call/${fn}`, input, headers)

  it('tells by how much its worker has grown', async () => {
    const { json } = await call('grow', [40])
    expect(json.memory_growth).toBeGreaterThan(39e6)
    expect(json.memory_growth).toBeLessThan(60e6)
  })

  it('cannot return what cannot be encoded, and says which and why', async () => {
    for (const [fn, word] of [
      ['nested', 'recursion'],
      ['circle', 'Circular'],
      ['names', 'keys'],
      ['text', 'bytes'],
      ['huge', 'can be sent'],
    ] as const) {
      const { status, json } = await call(fn)
      expect([fn, status, json.code]).toEqual([fn, 500, 'RESULT_REFUSED'])
      expect(json.message).toContain(word)
    }
    expect((await call('surrogate')).json.result).toBe('\ud800')
    const { json, text } = await call('loud')
    expect(json).toMatchObject({ code: 'CALL_RAISED', details: { type: 'ValueError' } })
    expect(text.length).toBeLessThan(500_000)
    expect((await call('mark')).json.result).toBe(1)
  })

  it('has arguments that fit, or is told why not', async () => {
    for (const input of [
      [1, 2, 3],
      { z: 1 },
      {},
      '"x"',
      '{',
      '[1',
      '1e',
      `${'['.repeat(1e5)}${']'.repeat(1e5)}`,
    ]) {
      const { status, json } = await call('score', input)
      expect([status, json.code]).toEqual([422, 'ARGUMENTS_REFUSED'])
      expect(json.message.length).toBeGreaterThan(20)
    }
    expect((await call('score', [2, 3])).json.result).toBe(6)
  })

  it('knows the id of its request, and so do errors and logs', async () => {
    const id = { 'x-request-id': 'order-42' }
    expect((await call('request', [], id)).json.result).toBe('order-42')
    expect((await call('request_later', [], id)).json.result).toBe('order-42')
    const made = await call('request')
    expect(made.json.result).toBe(made.headers['x-request-id'])
    const refused = await call('nothing', [], { 'x-request-id': 'order-43' })
    expect(refused.json.details).toMatchObject({ request: 'order-43' })
    const streamed = await call('nothing', [], { 'x-request-id': 'order-44', accept: 'text/event-stream' })
    expect(streamed.headers['x-request-id']).toBe('order-44')
    expect(streamed.text).toContain('"request":"order-44"')
    const { stdout } = await home.run(['logs', '--daemon'])
    expect(stdout).toMatch(/A call failed.*order-43/)
    expect(stdout).toMatch(/A call failed.*order-44/)
  })

  it('of a name in use is of that code: a deploy of other code is told both origins', async () => {
    const file = home.write('other.py', 'def a(): return 3\n')
    const { status, json } = await api.post('/v1/services', { name: 'main', source: { file } })
    expect([status, json.code]).toEqual([409, 'SERVICE_EXISTS'])
    expect(json.details).toMatchObject({ there: join(home.project, 'main.py'), asked: file })
  })

  it('that prints without end waits for its reader, with bounded memory, and ends when he goes', async () => {
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    const memory = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024
    const before = memory()
    const asked = httpRequest({
      host: '127.0.0.1',
      port: api.port,
      method: 'POST',
      path: '/v1/services/main/call/chatters',
      headers: {
        authorization: `Bearer ${api.token}`,
        'content-type': 'application/json',
        accept: 'text/event-stream',
      },
    })
    asked.on('error', () => {})
    // Nobody reads the answer.
    asked.on('response', (answer) => answer.pause().on('error', () => {}))
    asked.end('[]')
    const printed = async () => (await call('printed')).json.result as number
    await until('it prints', async () => (await printed()) > 0)
    let last = -1
    await until('it waits', async () => {
      const now = await printed()
      const isSame = now === last
      last = now
      await soon(200)
      return isSame
    })
    expect(memory() - before).toBeLessThan(64e6)
    expect((await api.get('/v1/services/main')).json.running).toBe(1)
    asked.destroy()
    await until('it has ended', async () => (await api.get('/v1/services/main')).json.running === 0)
    // Its connection is whole: the very next calls go over it.
    for (let i = 0; i < 20; i++) expect((await call('mark')).json.result).toBe(1)
    expect(last).toBeLessThan(20_000)
  })
})
