/** What is asked of Node modules at the wrong moment, or goes wrong in them: each has its answer. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openScope } from '../../packages/thaw/src/system/index.js'
import { until } from '../support/home.js'
import { whyNot } from '../support/process.js'
import { ServiceBench } from '../support/services.js'

const MAIN = `
let count = 0
export const counted = () => ++count
export const version = () => 1
export const naps = (ms) => new Promise((resolve) => setTimeout(resolve, ms, 'awake'))
export const spins = (ms) => { const end = Date.now() + ms; while (Date.now() < end); return 'spun' }
export async function prints(lines) {
  for (let i = 0; i < lines; i++) {
    console.log('x'.repeat(1000))
    if (i % 100 === 0) await null
  }
  return lines
}
export const large = (megabytes) => Buffer.alloc(megabytes * 1024 * 1024)
export const throwsLater = () => { setTimeout(() => { throw new Error('too late') }, 20); return new Promise(() => {}) }
export const rejectsLater = () => { Promise.reject(new Error('nobody listens')); return new Promise(() => {}) }
export const raises = () => { throw 'a text' }
export const circular = () => { const one = {}; one.self = one; return one }
export const pid = () => process.pid
`

const why = await whyNot()
if (why !== null) console.warn(`tests/services/node-edges.test.ts is skipped in part: ${why}`)

describe('a service of a Node module', () => {
  let bench: ServiceBench
  beforeEach(() => {
    bench = new ServiceBench()
    bench.write('main.mjs', MAIN)
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const deploy = (given: Parameters<ServiceBench['deploy']>[1] = {}, file = 'main.mjs') =>
    bench.deploy('node', given, file)
  const call = (fn: string, input: unknown = [], how = {}) => bench.call('node', fn, input, how)
  const of = () => bench.services.get('node')

  it('lets as many calls wait as it may, refuses the next, and forgets who goes away', async () => {
    await deploy({ concurrency: 1, queue: 1 })
    const running = call('naps', [700])
    await until('it runs', () => of().running === 1)
    const gone = call('counted', [], { signal: AbortSignal.timeout(100) })
    await expect(call('counted')).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    await expect(gone).rejects.toMatchObject({ code: 'CANCELLED' })
    const waiting = call('counted')
    expect(await running).toBe('awake')
    // Who had gone away was not called.
    expect(await waiting).toBe(1)
  })

  it('does not begin a call that was taken back while its worker was busy', async () => {
    await deploy()
    // Both connections are there from here on.
    await Promise.all([call('naps', [50]), call('naps', [50])])
    const spun = call('spins', [600])
    await new Promise((resolve) => setTimeout(resolve, 100))
    await expect(call('counted', [], { timeout: 0.1 })).rejects.toMatchObject({ code: 'CALL_TIMEOUT' })
    expect(await spun).toBe('spun')
    expect(await call('counted')).toBe(1)
  })

  it('has a deadline also where its worker is too busy to take the call', async () => {
    await deploy()
    const spun = call('spins', [900])
    await new Promise((resolve) => setTimeout(resolve, 100))
    const begun = performance.now()
    await expect(call('counted', [], { timeout: 0.2 })).rejects.toMatchObject({ code: 'CALL_TIMEOUT' })
    expect(performance.now() - begun).toBeLessThan(700)
    expect(await spun).toBe('spun')
    expect(await call('counted')).toBe(1)
    expect(of().running).toBe(0)
  })

  it('prints as much as it likes, to one who reads slowly; results that are too large are refused', async () => {
    await deploy()
    let bytes = 0
    const printed = (_: string, part: Buffer) => {
      bytes += part.length
      return bytes % 7 === 0 ? new Promise<void>((resolve) => setTimeout(resolve, 1)) : undefined
    }
    expect(await call('prints', [20_000], { printed })).toBe(20_000)
    expect(bytes).toBe(20_000 * 1001)
    const pid = await call('pid')
    await expect(call('large', [257])).rejects.toMatchObject({ code: 'RESULT_REFUSED' })
    expect(await call('pid')).toBe(pid)
    await expect(call('circular')).rejects.toMatchObject({ code: 'RESULT_REFUSED' })
    await expect(call('raises')).rejects.toMatchObject({
      code: 'CALL_RAISED',
      details: { message: 'a text' },
    })
  })

  it('whose process ends by what nobody caught fails its call, and serves the next', async () => {
    await deploy()
    for (const fn of ['throwsLater', 'rejectsLater']) {
      await expect(call(fn)).rejects.toMatchObject({
        code: 'WORKER_CRASHED',
        message: expect.stringContaining('exit code 1') as string,
      })
      expect(await call('counted')).toBe(1)
    }
  })

  it('that does not come up ends with what it printed last', async () => {
    bench.write('slow.mjs', 'console.log("waiting"); await new Promise((r) => setTimeout(r, 60_000))')
    await expect(deploy({ launch_timeout: 3 }, 'slow.mjs')).rejects.toMatchObject({
      code: 'LAUNCH_TIMEOUT',
      message: expect.stringContaining('waiting') as string,
    })
    await bench.services.remove('node')
    bench.write('ends.mjs', 'console.log("last words"); process.exit(3)')
    await expect(deploy({}, 'ends.mjs')).rejects.toMatchObject({
      code: 'SERVICE_FAILED',
      message: expect.stringContaining('last words') as string,
    })
    await bench.services.remove('node')
    await deploy()
    bench.write('other.mjs', MAIN)
    await expect(deploy({}, 'other.mjs')).rejects.toMatchObject({
      code: 'SERVICE_EXISTS',
      details: {
        there: expect.stringContaining('main.mjs') as string,
        asked: expect.stringContaining('other.mjs') as string,
      },
    })
  })

  it.skipIf(why !== null)('answers what comes while it is edited, reset, frozen and thawed', async () => {
    await deploy({ engine: 'process' })
    const service = of()
    const changes = {
      edit: () => Promise.resolve(void bench.write('main.mjs', MAIN.replace('=> 1', '=> 2'))),
      reset: () => service.reset(openScope()),
      freeze: () => service.freeze(openScope()),
      thaw: () => service.thaw(openScope()),
      restart: () => service.restart(openScope()),
    }
    for (const [name, change] of Object.entries(changes)) {
      const changed = change()
      const answers = await Promise.all(Array.from({ length: 6 }, () => call('version')))
      await changed
      expect([name, ...answers]).toEqual([name, ...Array<number>(6).fill(2)])
    }
  })
})
