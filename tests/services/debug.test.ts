/** Calls that stop at `breakpoint()`: pdb from outside, the wait, other calls, copies that go on again, editors. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Outcome } from '../../packages/thaw/src/services/party.js'
import { until } from '../support/home.js'
import { ServiceBench, Visitor } from '../support/services.js'

const MAIN = `
import asyncio, threading
TAX = 2
STATE = []
def tax(value):
    return value * TAX
def score(x, y=1):
    z = x + y
    STATE.append(z)
    breakpoint()
    print("scored", z)
    return tax(z)
def loop(n):
    total = 0
    for i in range(n):
        breakpoint()
        total += i
    return total
async def later(x):
    await asyncio.sleep(0)
    breakpoint()
    await asyncio.sleep(0.01)
    return x + 1
async def quick(x):
    await asyncio.sleep(0.01)
    return x
def plain(x):
    return x
def old(x):
    import pdb; pdb.set_trace()
    return x
def threaded(x):
    threading.Thread(target=threading.Event().wait, name="mine", daemon=True).start()
    breakpoint()
    return x
def state():
    return STATE
`

describe('a call at a breakpoint', () => {
  let bench: ServiceBench
  beforeEach(() => {
    bench = new ServiceBench()
    bench.write('main.py', MAIN)
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const stops = () => bench.services.get('main').stops
  const stopped = (count = 1) => until(`${count} at a breakpoint`, () => stops().list().length === count, 20)

  const visit = (typed: string, call: number | null = null) => Visitor.visit(stops(), typed, call)

  it('waits for pdb, whose commands work, and goes on', async () => {
    await bench.deploy('main')
    const said: string[] = []
    const called = bench.call('main', 'score', [3, 4], {
      printed: (stream, bytes) => void said.push(`${stream}: ${bytes.toString()}`),
    })
    await stopped()
    expect(stops().list()).toMatchObject([
      { fn: 'score', function: 'score', attached: false, uncopied: null },
    ])
    expect(said.join('')).toMatch(
      /stderr: thaw: breakpoint in score \(.*main.py:10\)\. Attach with: thaw debug main /,
    )
    // Others are served meanwhile.
    expect(await bench.call('main', 'plain', [5])).toBe(5)
    const first = await visit('p x, y, z\nprint("said at the prompt")\nw\n')
    expect(first).toContain('(3, 4, 7)')
    expect(first).toContain('said at the prompt')
    expect(first).toContain('main.py(10)score()')
    expect(first).not.toContain('thaw_agent')
    // Who has nothing more to type leaves, and the call waits.
    expect(stops().list()).toMatchObject([{ attached: false }])
    const second = await visit('interact\nz + 100\nprint(z)\nexit()\nz = 50\nn\nn\np z\nc\n')
    expect(second).toContain('107')
    expect(second).toContain('return tax(z)')
    expect(await called).toBe(100)
    expect(said.join('')).toContain('stdout: scored 50')
    expect(said.join('')).not.toContain('prompt')
    expect(stops().list()).toEqual([])
  })

  it('ends with a typed error when its debugger quits', async () => {
    await bench.deploy('main')
    const called = expect(bench.call('main', 'score', [1])).rejects.toMatchObject({ code: 'CALL_QUIT' })
    await stopped()
    await visit('q\n')
    await called
    expect(await bench.call('main', 'plain', [1])).toBe(1)
  })

  it('goes on by itself when nobody comes; PYTHONBREAKPOINT=0 passes by; pdb.set_trace stops too', async () => {
    await bench.deploy('main', { debug_timeout: 0.3 })
    const said: string[] = []
    expect(
      await bench.call('main', 'score', [1], { printed: (_, bytes) => void said.push(bytes.toString()) }),
    ).toBe(4)
    expect(said.join('')).toContain('within 0.3 s; it goes on.')
    const env = { PYTHONDONTWRITEBYTECODE: '1', PYTHONBREAKPOINT: '0' }
    await bench.deploy('off', { env })
    expect(await bench.call('off', 'score', [1])).toBe(4)
    await bench.deploy('main', { debug_timeout: 60 })
    const called = bench.call('main', 'old', [8], { timeout: 0.5 })
    await stopped()
    // Its time stands still meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(await visit('p x\nc\n')).toContain('8')
    expect(await called).toBe(8)
  })

  it('stops again and again, and several calls stand beside each other', async () => {
    await bench.deploy('main')
    const looped = bench.call('main', 'loop', [3])
    await stopped()
    const asked = await visit('c\nc\np i\nc\n')
    expect(asked).toContain('2')
    expect(await looped).toBe(3)
    const first = bench.call('main', 'score', [1])
    await stopped()
    const second = bench.call('main', 'score', [2])
    await stopped(2)
    const [one, other] = stops().list()
    expect(other?.uncopied).toContain('other calls are under way')
    expect(await visit('p x\nc\n', other?.call)).toContain('2')
    expect(await second).toBe(6)
    expect(await visit('p x\nc\n')).toContain('1')
    expect(await first).toBe(4)
    expect(() => stops().attach(one?.call ?? null, 'pdb', new Visitor())).toThrow('stands at')
  })

  it('may be a coroutine, beside which others go on', async () => {
    await bench.deploy('main')
    const called = bench.call('main', 'later', [1])
    await stopped()
    expect(await Promise.all([1, 2, 3].map((x) => bench.call('main', 'quick', [x])))).toEqual([1, 2, 3])
    expect(stops().list()[0]?.uncopied).toContain('event loop')
    expect(await visit('p x\nn\nn\nc\n')).toContain('await asyncio.sleep(0.01)')
    expect(await called).toBe(2)
    const cancelled = bench.call('main', 'later', [1], { signal: AbortSignal.timeout(300) })
    await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await bench.call('main', 'quick', [9])).toBe(9)
  })

  describe('leaves a copy', () => {
    const again = async (): Promise<{ outcome: Outcome & { body?: Buffer }; said: string }> => {
      let said = ''
      const outcome = await stops().again(
        (_, bytes) => void (said += bytes.toString()),
        new AbortController().signal,
      )
      return { outcome, said }
    }
    const result = ({ outcome }: Awaited<ReturnType<typeof again>>) =>
      JSON.parse(outcome.body?.toString() ?? 'null')

    it('that goes on from there, as often as wanted, with the code of then', async () => {
      await bench.deploy('main')
      const called = bench.call('main', 'score', [3, 4])
      await stopped()
      await visit('c\n')
      expect(await called).toBe(14)
      const first = await again()
      expect(first.said).toContain('scored 7')
      expect(result(first)).toBe(14)
      // An edit of what it calls later, and of what stands behind the breakpoint in the very function.
      bench.write(
        'main.py',
        MAIN.replace('value * TAX', 'value * 1000').replace('"scored", z', '"edited", x, z'),
      )
      const second = await again()
      expect(second.said).toContain('edited 3 7')
      expect(result(second)).toBe(7000)
      expect(second.outcome.version).not.toBe(first.outcome.version)
      bench.write(
        'main.py',
        MAIN.replace('    breakpoint()\n    print("scored", z)', '    print("gone", z)\n    z += 1'),
      )
      const third = await again()
      expect(third.said).toContain('gone 7')
      expect(result(third)).toBe(16)
      // Nothing of that is in the service itself.
      bench.write('main.py', MAIN)
      expect(await bench.call('main', 'state')).toEqual([7])
      bench.write('main.py', `${MAIN}def broken(:\n`)
      expect((await again()).outcome).toMatchObject({ t: 'error', error: { kind: 'syntax' } })
    })

    it('in a loop, whose function stays as it was, and says so', async () => {
      await bench.deploy('main', { debug_timeout: 0.2 })
      const called = bench.call('main', 'loop', [2])
      expect(await called).toBe(1)
      bench.write('main.py', MAIN.replace('total += i', 'total += 10'))
      const { said, outcome } = await again()
      expect(said).toContain('loop goes on as it was')
      expect(outcome).toMatchObject({ t: 'result' })
      expect(result({ outcome, said })).toBe(1)
    })

    it('not where threads stand beside it, and says so', async () => {
      await bench.deploy('main', { debug_timeout: 0.2 })
      await expect(again()).rejects.toMatchObject({ code: 'NO_BREAKPOINT' })
      await bench.call('main', 'threaded', [1])
      await expect(again()).rejects.toMatchObject({
        code: 'NO_BREAKPOINT',
        message: expect.stringContaining('there are others: mine') as string,
      })
    })
  })
})
