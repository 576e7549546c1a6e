/** An editor at a breakpoint of a service: the Debug Adapter Protocol, spoken with the real debugpy. */
import { spawnSync } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { until } from '../support/home.js'
import { ServiceBench } from '../support/services.js'

const MAIN = `
def score(x):
    y = x * 2
    breakpoint()
    return y
`

const python = ['python3', '/usr/bin/python3'].find(
  (one) => spawnSync(one, ['-c', 'import debugpy, sys; assert sys.version_info >= (3, 11)']).status === 0,
)
if (python === undefined) {
  console.warn(
    'tests/services/editor.test.ts is skipped in part: no python3 here has debugpy (python3-debugpy)',
  )
}

interface Message {
  type: string
  command?: string
  event?: string
  success?: boolean
  request_seq?: number
  body?: Record<string, unknown>
}

/** Content-Length, an empty line, JSON. */
class Editor {
  readonly heard: Message[] = []
  readonly #socket: Socket
  #have = Buffer.alloc(0)
  #seq = 0

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.on('error', () => {})
    this.#socket.on('data', (chunk: Buffer) => {
      this.#have = Buffer.concat([this.#have, chunk])
      for (;;) {
        const end = this.#have.indexOf('\r\n\r\n')
        const length = Number(/Content-Length: (\d+)/.exec(this.#have.toString('latin1', 0, end))?.[1])
        if (end < 0 || this.#have.length < end + 4 + length) return
        this.heard.push(JSON.parse(this.#have.toString('utf8', end + 4, end + 4 + length)) as Message)
        this.#have = this.#have.subarray(end + 4 + length)
      }
    })
  }

  send(command: string, args: unknown = {}): number {
    const text = JSON.stringify({ seq: ++this.#seq, type: 'request', command, arguments: args })
    this.#socket.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
    return this.#seq
  }

  async answer(seq: number): Promise<Message> {
    const found = () => this.heard.find((one) => one.type === 'response' && one.request_seq === seq)
    await until(`an answer to ${seq}`, () => found() !== undefined, 30)
    expect(found()).toMatchObject({ success: true })
    return found() as Message
  }

  async event(name: string): Promise<Message> {
    const found = () => this.heard.find((one) => one.event === name)
    await until(`the event ${name}`, () => found() !== undefined, 30)
    return found() as Message
  }

  close(): void {
    this.#socket.destroy()
  }
}

let bench: ServiceBench
beforeEach(() => {
  bench = new ServiceBench()
  bench.write('main.py', MAIN)
})
afterEach(() => bench[Symbol.asyncDispose]())

async function attach(
  interpreter: string,
): Promise<{ called: Promise<unknown>; text: () => string; left: Promise<unknown> }> {
  await bench.deploy('main', { python: interpreter })
  const called = bench.call('main', 'score', [21])
  const { stops } = bench.services.get('main')
  await until('it stands', () => stops.list().length === 1, 20)
  let text = ''
  const left = new Promise((resolve) => {
    stops.attach(null, 'dap', {
      print: (_, bytes) => void (text += Buffer.from(bytes).toString()),
      left: resolve,
    })
  })
  return { called, left, text: () => text }
}

it.skipIf(python === undefined)(
  'is let in, sees where the call stands, and lets it go on',
  async () => {
    const { called, text } = await attach(python as string)
    await until('a port', () => text().includes('\n'), 30)
    const editor = new Editor(Number(/^127\.0\.0\.1:(\d+)\n/.exec(text())?.[1]))
    try {
      const { body } = await editor.answer(
        editor.send('initialize', { adapterID: 'test', pathFormat: 'path' }),
      )
      expect(body).toMatchObject({ supportsConfigurationDoneRequest: true })
      const attached = editor.send('attach', { justMyCode: false })
      await editor.event('initialized')
      await editor.answer(editor.send('configurationDone'))
      await editor.answer(attached)
      const { threadId } = (await editor.event('stopped')).body as { threadId: number }
      const stack = await editor.answer(editor.send('stackTrace', { threadId }))
      const [frame] = (stack.body as { stackFrames: { id: number; name: string }[] }).stackFrames
      expect(frame).toMatchObject({ name: 'score' })
      const value = await editor.answer(editor.send('evaluate', { expression: 'y', frameId: frame?.id }))
      expect(value.body).toMatchObject({ result: '42' })
      editor.send('continue', { threadId })
      expect(await called).toBe(42)
    } finally {
      editor.close()
    }
  },
  90_000,
)

it.skipIf(python !== undefined)(
  'is told what is missing, and the call waits on',
  async () => {
    const { called, left } = await attach('python3')
    expect(await left).toMatchObject({ code: 'DEBUGGER_MISSING' })
    const { stops } = bench.services.get('main')
    expect(stops.list()).toMatchObject([{ attached: false }])
    stops.attach(null, 'pdb', { print: () => {}, left: () => {} }).type(Buffer.from('c\n'))
    expect(await called).toBe(42)
  },
  60_000,
)
