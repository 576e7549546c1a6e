/** Services of Node modules: calls, state, edits, cancelling, crashes, freezing. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openScope } from '../../packages/thaw/src/system/index.js'
import { until } from '../support/home.js'
import { whyNot } from '../support/process.js'
import { ServiceBench } from '../support/services.js'

const SCORE = `
import { factor, counted } from './util.js'
import { createRequire } from 'node:module'
interface Point { x: number; y?: number }
export const score = (x: number, { y = 1 }: Partial<Point> = {}): number => x * y * factor
export async function later(ms: number, word: string): Promise<string> {
  console.log('waiting', word)
  await new Promise((resolve) => setTimeout(resolve, ms))
  console.error('done', word)
  return word
}
export function fails(): never {
  throw new RangeError('too far', { cause: new Error('inner') })
}
export async function naps(ms: number, signal?: AbortSignal): Promise<string> {
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms, 'awake')
    signal?.addEventListener('abort', () => { clearTimeout(timer); reject(new Error('aborted')) })
  })
}
export const spins = () => { for (;;); }
export const dies = () => process.exit(7)
export const count = () => counted()
export const bytes = (data: Uint8Array) => Uint8Array.from(data).reverse()
export const wrong = () => ({ value: 1n })
export const lost = () => NaN
export const pid = () => process.pid
`
const UTIL = `
export let factor = 2
let count = 0
export const counted = () => ++count
`

const why = await whyNot()
if (why !== null) console.warn(`tests/services/node.test.ts is skipped in part: ${why}`)

describe('a service of a Node module', () => {
  let bench: ServiceBench
  beforeEach(() => {
    bench = new ServiceBench()
    bench.write('package.json', '{"type": "module"}')
    bench.write('score.ts', SCORE)
    bench.write('util.ts', UTIL)
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const deploy = (given: Parameters<ServiceBench['deploy']>[1] = {}, file = 'score.ts') =>
    bench.deploy('node', given, file)
  const call = (fn: string, input: unknown = []) => bench.call('node', fn, input)
  const describeIt = () => bench.services.get('node').describe()

  it('is called: arguments, results, prints, errors', async () => {
    const { callables, files, version } = await deploy()
    expect(callables.map(({ name }) => name)).toContain('score')
    expect(callables.find(({ name }) => name === 'later')).toMatchObject({
      async: true,
      signature: '(ms, word)',
    })
    expect(files.map((file) => file.split('/').at(-1))).toEqual(['score.ts', 'util.ts'])
    expect(await call('score', [3])).toBe(6)
    expect(await call('score', { args: [3], kwargs: { y: 2 } })).toBe(12)
    const printed: string[] = []
    const told = (stream: string, bytes: Buffer) => void printed.push(`${stream}: ${bytes.toString()}`)
    const two = await Promise.all([
      bench.call('node', 'later', [50, 'a'], { printed: told as never }),
      call('later', [50, 'b']),
    ])
    expect(two).toEqual(['a', 'b'])
    // What the other one printed at the same time is its own.
    expect(printed).toEqual(['stdout: waiting a\n', 'stderr: done a\n'])
    expect(await call('count')).toBe(1)
    expect(await call('count')).toBe(2)
    const sent = { kind: 'bytes', body: Buffer.from([1, 2, 3]) } as const
    expect(await bench.call('node', 'bytes', '', sent)).toEqual(Buffer.from([3, 2, 1]))
    const failed = (await call('fails').catch((error: unknown) => error)) as {
      details: { traceback: string }
    }
    expect(failed).toMatchObject({
      code: 'CALL_RAISED',
      details: { type: 'RangeError', message: 'too far', version },
    })
    // The lines are those of the TypeScript.
    expect(failed.details.traceback).toMatch(/at .*score\.ts:13:[^]*Caused by: Error: inner/)
    expect(failed.details.traceback).not.toMatch(/service_|node:/)
    await expect(call('nothing')).rejects.toMatchObject({
      code: 'FUNCTION_NOT_FOUND',
      message: expect.stringContaining('score') as string,
    })
    await expect(call('wrong')).rejects.toMatchObject({ code: 'RESULT_REFUSED' })
    await expect(call('lost')).rejects.toMatchObject({ code: 'RESULT_REFUSED' })
    await expect(call('score', '[')).rejects.toMatchObject({ code: 'ARGUMENTS_REFUSED' })
  })

  it('takes edits: what has changed and what imports it is evaluated anew, the rest keeps its state', async () => {
    const { version } = await deploy()
    expect(await call('count')).toBe(1)
    bench.write('score.ts', SCORE.replace('x * y * factor', 'x * y * factor + 1'))
    expect(await call('score', [3])).toBe(7)
    // util.ts was not evaluated anew.
    expect(await call('count')).toBe(2)
    expect(describeIt()).toMatchObject({ stale: null, reload: { how: 'patched' } })
    expect(describeIt().reload?.executed.map(({ file }) => file.split('/').at(-1))).toEqual(['score.ts'])
    expect(describeIt().version).not.toBe(version)
    bench.write('util.ts', UTIL.replace('factor = 2', 'factor = 10'))
    expect(await call('score', [3])).toBe(31)
    expect(describeIt().reload?.executed).toHaveLength(2)
    bench.write('score.ts', `${SCORE}\nexport const broken = (`)
    const answer = await bench.answer('node', 'score', [3])
    expect(answer.body.toString()).toBe('31')
    expect(answer.stale).toMatchObject({ line: SCORE.split('\n').length + 1 })
    expect(answer.stale?.file).toMatch(/score\.ts$/)
    bench.write('score.ts', `${SCORE}\nthrow new Error('not today')`)
    expect((await bench.answer('node', 'score', [3])).stale?.message).toContain('not today')
    // What is started anew is what serves, not what lies on the disk.
    await bench.services.get('node').reset(openScope())
    expect(await call('score', [3])).toBe(31)
    expect(await call('count')).toBe(1)
    bench.write('score.ts', SCORE.replace('x * y * factor', 'x * y * factor + 2'))
    expect(await call('score', [3])).toBe(32)
    expect(describeIt().stale).toBe(null)
  })

  it('is cancelled: by a signal; one that is stuck is replaced; one that ends is, too', async () => {
    await deploy()
    const limited = (fn: string, input: unknown[]) => bench.call('node', fn, input, { timeout: 0.3 })
    await expect(limited('naps', [60_000])).rejects.toMatchObject({ code: 'CALL_TIMEOUT' })
    expect(describeIt().running).toBe(0)
    const pid = await call('pid')
    await expect(limited('spins', [])).rejects.toMatchObject({ code: 'CALL_TIMEOUT' })
    await until('it is replaced', async () => (await call('pid').catch(() => pid)) !== pid)
    await expect(call('dies')).rejects.toMatchObject({
      code: 'WORKER_CRASHED',
      message: expect.stringContaining('exit code 7') as string,
    })
    expect(await call('score', [1])).toBe(2)
  })

  it('is made of a class, of CommonJS, or refused', async () => {
    bench.write(
      'counter.cjs',
      `class Counter {
  constructor(start, { step = 1 } = {}) { this.value = start; this.step = step }
  next() { return this.value += this.step }
  async peek() { return this.value }
}
module.exports = { Counter }`,
    )
    await deploy({ class: { name: 'Counter', args: [10], kwargs: { step: 5 } } }, 'counter.cjs')
    expect(describeIt().callables.map(({ name }) => name)).toEqual(['next', 'peek'])
    expect(await call('next')).toBe(15)
    bench.write('counter.cjs', bench.read('counter.cjs').replace('+= this.step', '+= 2 * this.step'))
    // The object is what it was, its methods are new.
    expect(await call('next')).toBe(25)
    await bench.services.remove('node')
    bench.write('bad.mjs', 'export const a = 1\nexport const b = (\n')
    await expect(deploy({}, 'bad.mjs')).rejects.toMatchObject({ code: 'SYNTAX_ERROR', details: { line: 3 } })
    bench.write('bad.mjs', 'null.x')
    await expect(deploy({}, 'bad.mjs')).rejects.toMatchObject({ code: 'SERVICE_FAILED' })
    await bench.services.remove('node')
    await expect(deploy({ pickle: true })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('gives each call a state of its own where that is asked', async () => {
    await deploy({ isolation: 'call' })
    const alone = () => bench.call('node', 'count', [], { isolation: 'call' })
    expect(await alone()).toBe(1)
    expect(await alone()).toBe(1)
  })

  describe.skipIf(why !== null)('in a sandbox', () => {
    it('is frozen with its state, and thawed by the next call', async () => {
      await deploy({ engine: 'process', workers: 2 })
      expect(await Promise.all([call('count'), call('count')])).toHaveLength(2)
      const before = (await call('count')) as number
      const pid = await call('pid')
      await bench.services.get('node').freeze(openScope())
      expect(describeIt()).toMatchObject({ state: 'frozen', memory_bytes: 0 })
      expect(await call('pid')).toBe(pid)
      expect(await call('count')).toBeGreaterThanOrEqual(before)
      bench.write('score.ts', SCORE.replace('x * y * factor', 'x * y * factor + 1'))
      expect(await call('score', [3])).toBe(7)
      await bench.services.get('node').reset(openScope())
      expect(await call('count')).toBe(1)
    })
  })
})
