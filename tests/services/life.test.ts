/** What of a service is there, and when: start, reset, freeze, thaw, rest, crash, restart of the daemon. */
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openScope } from '../../packages/thaw/src/system/index.js'
import { until } from '../support/home.js'
import { remains, whyNot } from '../support/process.js'
import { ServiceBench } from '../support/services.js'

const MAIN = `
import os, time
LOADED = time.time()
STATE = {}
def put(key, value): STATE[key] = value; return len(STATE)
def get(key): return STATE.get(key)
def loaded(): return LOADED
def nap(seconds): time.sleep(seconds); return seconds
def die(): os.kill(os.getppid(), 9)
`

const why = await whyNot()
if (why !== null) console.warn(`tests/services/life.test.ts is skipped in part: ${why}`)

describe('a service', () => {
  let bench: ServiceBench
  let before: ReturnType<typeof remains>
  beforeEach(() => {
    bench = new ServiceBench()
    before = remains(bench.project)
    bench.write('main.py', MAIN)
  })
  afterEach(async () => {
    await bench[Symbol.asyncDispose]()
    expect(remains('/tmp').sandboxes).toEqual(before.sandboxes)
  })
  const of = (name = 'main') => bench.services.get(name)
  const state = () => of().state

  it('is reset to what it was right after loading', async () => {
    await bench.deploy('main', { workers: 2 })
    const loaded = await bench.call('main', 'loaded')
    await bench.call('main', 'put', ['a', 1])
    await of().reset(openScope())
    expect(await bench.call('main', 'get', ['a'])).toBe(null)
    expect(await bench.call('main', 'loaded')).toBe(loaded)
    expect(of().describe().workers).toHaveLength(2)
    await of().restart(openScope())
    expect(await bench.call('main', 'loaded')).not.toBe(loaded)
  })

  it('that does not come up ends with what it printed last', async () => {
    bench.write('slow.py', 'import time\nprint("waiting for godot", flush=True)\ntime.sleep(60)\n')
    await expect(bench.deploy('slow', { launch_timeout: 3 }, 'slow.py')).rejects.toMatchObject({
      code: 'LAUNCH_TIMEOUT',
      message: expect.stringContaining('waiting for godot') as string,
    })
    bench.write('ends.py', 'import os\nprint("last words", flush=True)\nos._exit(3)\n')
    await expect(bench.deploy('ends', {}, 'ends.py')).rejects.toMatchObject({
      code: 'SERVICE_FAILED',
      message: expect.stringContaining('last words') as string,
    })
    bench.write('bad.py', 'x = 1\n1 / 0\n')
    await expect(bench.deploy('bad', {}, 'bad.py')).rejects.toMatchObject({ code: 'SERVICE_FAILED' })
    expect(of('bad').describe()).toMatchObject({ state: 'failed' })
    // Mended, the next call starts it.
    bench.write('bad.py', 'def ok(): return 1\n')
    expect(await bench.call('bad', 'ok')).toBe(1)
  })

  it('stops when nobody calls it, and starts again with the next call', async () => {
    await bench.deploy('main', { inactivity_ttl: 0.3, ttl_action: 'stop' })
    await bench.call('main', 'put', ['a', 1])
    const held = of().keepAwake()
    await new Promise((resolve) => setTimeout(resolve, 900))
    expect(state()).toBe('ready')
    held[Symbol.dispose]()
    await until('it stops', () => state() === 'stopped')
    expect(of().pids).toEqual([])
    expect(await bench.call('main', 'get', ['a'])).toBe(null)
  })

  it('whose processes are all killed begins anew with the next call', async () => {
    await bench.deploy('main')
    await bench.call('main', 'put', ['a', 1])
    process.kill(of().pids[0] as number, 'SIGKILL')
    await until('it is known', () => state() !== 'ready')
    expect(await bench.call('main', 'get', ['a'])).toBe(null)
  })

  it('that is plain says that it cannot be frozen, and serves on', async () => {
    await bench.deploy('main')
    await bench.call('main', 'put', ['a', 1])
    await expect(of().freeze(openScope())).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    expect(await bench.call('main', 'get', ['a'])).toBe(1)
  })

  describe.skipIf(why !== null)('in a sandbox', () => {
    it('is frozen without workers that no call was given to, which are forked again', async () => {
      bench.write('large.py', 'DATA = {i: [str(i)] for i in range(300_000)}\ndef get(i): return DATA[i]\n')
      await bench.deploy('large', { engine: 'process', workers: 2 }, 'large.py')
      const freeze = async () => {
        await of('large').freeze(openScope())
        return of('large').describe().disk_bytes
      }
      const get = () => bench.call('large', 'get', [7])
      const fresh = await freeze()
      expect(await Promise.all([get(), get()])).toEqual([['7'], ['7']])
      expect(of('large').describe().workers).toHaveLength(2)
      const used = await freeze()
      expect(used).toBeGreaterThan(1.7 * fresh)
      await get()
      await of('large').reset(openScope())
      expect(await freeze()).toBeLessThan(1.2 * fresh)
      expect(await get()).toEqual(['7'])
    })

    it('is frozen with its state, and thawed by the next call, in another daemon too', async () => {
      await bench.deploy('main', { engine: 'process', inactivity_ttl: 0.3, workers: 2 })
      for (let i = 0; i < 6; i++) await bench.call('main', 'put', ['a', 1])
      await Promise.all([1, 2, 3, 4].map(() => bench.call('main', 'nap', [0.1])))
      const loaded = await bench.call('main', 'loaded')
      await until('it rests', () => state() === 'frozen', 20)
      expect(of().pids).toEqual([])
      expect(of().describe().disk_bytes).toBeGreaterThan(1e6)
      const calls = Array.from({ length: 8 }, () => bench.call('main', 'loaded'))
      expect(new Set(await Promise.all(calls))).toEqual(new Set([loaded]))
      expect(of().describe().thaw_seconds).toBeGreaterThan(0)
      await bench.close()
      bench.open()
      expect(state()).toBe('frozen')
      expect(await bench.call('main', 'loaded')).toBe(loaded)
      // What was edited meanwhile is put in place.
      await of().freeze(openScope())
      bench.write('main.py', MAIN.replace('return LOADED', 'return -LOADED'))
      expect(await bench.call('main', 'loaded')).toBe(-(loaded as number))
      await of().reset(openScope())
      expect(await bench.call('main', 'loaded')).toBe(-(loaded as number))
      await bench.services.remove('main')
      expect(readdirSync(join(bench.directory, 'state', 'services', 'images'))).toEqual([])
    })

    it('that cannot be frozen serves on, and says why', async () => {
      const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      bench.write(
        'holder.py',
        `import socket\nclient = socket.create_connection(("127.0.0.1", ${port}))\ndef get(): client.send(b"x"); return client.recv(1).decode()\n`,
      )
      await bench.deploy('holder', { engine: 'process' }, 'holder.py')
      await expect(of('holder').freeze(openScope())).rejects.toThrow(/connection|tcp|socket/i)
      expect(await bench.call('holder', 'get')).toBe('x')
      server.close()
    })
  })
})
