/** Calls of Node modules that stop at `debugger`: the prompt, the wait, other calls, an editor by the real inspector protocol. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { openScope } from '../../packages/thaw/src/system/index.js'
import { until } from '../support/home.js'
import { whyNot } from '../support/process.js'
import { ServiceBench, Visitor } from '../support/services.js'

const MAIN = `
interface Order { count: number; price: number }
let tax = 2
const taxed = (value: number): number => {
  const whole = value * tax
  return whole
}
export async function score(x: number, y = 1): Promise<number> {
  const order: Order = { count: x, price: y }
  await null
  let z = order.count + order.price
  debugger
  console.log('scored', z)
  z = taxed(z)
  return z
}
export function loop(n: number): number {
  let total = 0
  for (let i = 0; i < n; i++) {
    debugger
    total += i
  }
  return total
}
export const plain = (x: number): number => x
export const pid = (): number => process.pid
`

/** The inspector protocol, as editors speak it. */
class Editor {
  readonly #socket: WebSocket
  readonly heard: { id?: number; method?: string; params?: never; result?: never }[] = []
  #last = 0

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('message', (data: Buffer) => this.heard.push(JSON.parse(data.toString()) as never))
  }

  static async attach(port: number): Promise<Editor> {
    const listed = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as [
      { webSocketDebuggerUrl: string },
    ]
    const socket = new WebSocket(listed[0].webSocketDebuggerUrl)
    const editor = new Editor(socket)
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    return editor
  }

  async post<T>(method: string, params: unknown = {}): Promise<T> {
    const id = ++this.#last
    this.#socket.send(JSON.stringify({ id, method, params }))
    const found = () => this.heard.find((one) => one.id === id)
    await until(method, () => found() !== undefined, 20)
    return found()?.result as T
  }

  async event<T>(method: string): Promise<T> {
    const found = () => this.heard.find((one) => one.method === method)
    await until(method, () => found() !== undefined, 20)
    return found()?.params as T
  }

  get closed(): boolean {
    return this.#socket.readyState === WebSocket.CLOSED
  }
}

const why = await whyNot()
if (why !== null) console.warn(`tests/services/node-debug.test.ts is skipped in part: ${why}`)

describe('a call of a Node module at `debugger`', () => {
  let bench: ServiceBench
  beforeEach(() => {
    bench = new ServiceBench()
    bench.write('package.json', '{"type": "module"}')
    bench.write('main.ts', MAIN)
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const deploy = (given: Parameters<ServiceBench['deploy']>[1] = {}) => bench.deploy('main', given, 'main.ts')
  const stops = () => bench.services.get('main').stops
  const stopped = (count = 1) => until(`${count} stand`, () => stops().list().length === count, 20)
  const call = (fn: string, input: unknown[] = [], how = {}) => bench.call('main', fn, input, how)

  it('waits for whoever attaches, sees and changes its variables, steps, and goes on', async () => {
    await deploy({ workers: 2 })
    const said: string[] = []
    const called = call('score', [3, 4], {
      printed: (stream: string, bytes: Buffer) => void said.push(`${stream}: ${bytes.toString()}`),
    })
    await stopped()
    expect(stops().list()).toMatchObject([
      { fn: 'score', function: 'score', line: 12, attached: false, uncopied: expect.any(String) as string },
    ])
    expect(said.join('')).toMatch(
      /stderr: thaw: breakpoint in score \(.*main\.ts:12\)\. Attach with: thaw debug main /,
    )
    // The other worker serves meanwhile, whoever asks.
    expect(await Promise.all([5, 6, 7].map((x) => call('plain', [x])))).toEqual([5, 6, 7])
    const first = await Visitor.visit(stops(), 'order\nconsole.log("said at the prompt")\nbt\nnone.x\n')
    expect(first).toContain('->   12    debugger')
    expect(first).toContain('{ count: 3, price: 4 }')
    expect(first).toContain('said at the prompt')
    expect(first).toMatch(/> score \(.*main\.ts:12\)/)
    expect(first).toContain('Uncaught ReferenceError: none is not defined')
    expect(first).not.toMatch(/service_|node:/)
    // Who has nothing more to type leaves, and the call waits.
    expect(stops().list()).toMatchObject([{ attached: false }])
    const second = await Visitor.visit(stops(), 'z = 50\nn\nn\ns\nvalue\nu\np z + 1\nc\n')
    expect(second).toContain('z = taxed(z)')
    expect(second).toMatch(/taxed \(.*main\.ts:5\)/)
    expect(second).toContain('debug> 51')
    expect(await called).toBe(100)
    expect(said.join('')).toContain('stdout: scored 50')
    expect(said.join('')).not.toContain('prompt')
    expect(stops().list()).toEqual([])
  })

  it('goes on by itself when nobody comes, as often as it stops', async () => {
    await deploy({ debug_timeout: 0.3 })
    const said: string[] = []
    const printed = (_: string, bytes: Buffer) => void said.push(bytes.toString())
    expect(await call('loop', [2], { printed })).toBe(1)
    expect(said.join('').match(/within 0\.3 s; it goes on/g)).toHaveLength(2)
    await deploy({ debug_timeout: 60 })
    const called = call('loop', [3])
    await stopped()
    expect(await Visitor.visit(stops(), 'c\nc\ni\nc\n')).toContain('debug> 2\n')
    expect(await called).toBe(3)
  })

  it('holds up what is in the same process, whose time stands still', async () => {
    await deploy()
    const pid = await call('pid')
    const called = call('score', [1], { timeout: 0.5 })
    await stopped()
    const other = call('plain', [5], { timeout: 0.5 })
    const gone = call('plain', [6], { signal: AbortSignal.timeout(200) })
    await expect(gone).rejects.toMatchObject({ code: 'CANCELLED' })
    await new Promise((resolve) => setTimeout(resolve, 4500))
    expect(stops().list()).toHaveLength(1)
    await Visitor.visit(stops(), 'c\n')
    expect(await Promise.all([called, other])).toEqual([4, 5])
    expect(await call('pid')).toBe(pid)
    expect(bench.services.get('main').describe().running).toBe(0)
    // One that is given up goes on.
    const cancelled = call('score', [1], { signal: AbortSignal.timeout(400) })
    await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await call('plain', [9])).toBe(9)
  })

  it('is shown to an editor, which evaluates and lets it go on; its port is closed with the call', async () => {
    await deploy()
    const called = call('score', [20])
    await stopped()
    const visitor = new Visitor()
    const attached = stops().attach(null, 'dap', visitor)
    await until('a port', () => visitor.text.includes('\n'), 20)
    const port = Number(/^127\.0\.0\.1:(\d+)\n$/.exec(visitor.text)?.[1])
    const editor = await Editor.attach(port)
    await editor.post('Debugger.enable')
    const { callFrames } = await editor.event<{
      callFrames: { callFrameId: string; functionName: string }[]
    }>('Debugger.paused')
    expect(callFrames[0]).toMatchObject({ functionName: 'score' })
    const { callFrameId } = callFrames[0] as { callFrameId: string }
    const value = await editor.post('Debugger.evaluateOnCallFrame', { callFrameId, expression: 'z += 100' })
    expect(value).toMatchObject({ result: { value: 121 } })
    expect(stops().list()).toMatchObject([{ attached: true }])
    await editor.post('Debugger.resume')
    expect(await called).toBe(242)
    await until('the port is closed', () => editor.closed, 20)
    await until('whoever asked for it is told', () => visitor.gone !== null, 20)
    await expect(fetch(`http://127.0.0.1:${port}/json/list`)).rejects.toThrow()
    attached.leave()
    // Who leaves without it takes the port along, and the call waits.
    const again = call('score', [1])
    await stopped()
    const other = new Visitor()
    const left = stops().attach(null, 'dap', other)
    await until('a port', () => other.text.includes('\n'), 20)
    left.leave()
    await until('the port is closed', () =>
      fetch(`http://${other.text.trim()}/json/list`).then(
        () => false,
        () => true,
      ),
    )
    expect(stops().list()).toMatchObject([{ attached: false }])
    await Visitor.visit(stops(), 'c\n')
    expect(await again).toBe(4)
  })

  it('stops where an edit asks for it', async () => {
    bench.write('main.ts', MAIN.replaceAll('debugger', ''))
    await deploy()
    expect(await call('score', [1])).toBe(4)
    bench.write(
      'main.ts',
      MAIN.replace('return whole', 'debugger; return whole').replace(/^ {2}debugger$/m, ''),
    )
    const called = call('score', [1])
    await stopped()
    expect(stops().list()).toMatchObject([{ fn: 'score', function: 'taxed', line: 6 }])
    expect(await Visitor.visit(stops(), 'whole\nq\n')).toContain('debug> 4\n')
    await stopped()
    await Visitor.visit(stops(), 'c\n')
    expect(await called).toBe(4)
  })

  it.skipIf(why !== null)(
    'in a sandbox; it is frozen afterwards, and stops again when it is thawed',
    async () => {
      await deploy({ engine: 'process' })
      for (const x of [1, 2]) {
        const called = call('score', [x])
        await stopped()
        expect(await Visitor.visit(stops(), 'order.count\nc\n')).toContain(`debug> ${x}\n`)
        expect(await called).toBe(2 * (x + 1))
        await bench.services.get('main').freeze(openScope())
      }
    },
  )
})
