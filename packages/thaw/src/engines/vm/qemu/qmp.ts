/** QEMU's own protocol: JSON lines, one answer a command, events between (docs/interop/qmp-spec.rst of QEMU). */
import type { Duplex } from 'node:stream'
import { z } from 'zod'
import { ThawError, within, type Scope } from '../../../system/index.js'

/** A longer line is none of QEMU's. */
const LONGEST = 4 * 1024 * 1024

const Greeting = z.object({
  QMP: z.object({
    version: z.object({ qemu: z.object({ major: z.number(), minor: z.number(), micro: z.number() }) }),
  }),
})
const Answer = z.union([
  z.object({ return: z.unknown(), id: z.number() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.number().optional() }),
])
const Event = z.object({ event: z.string(), data: z.record(z.string(), z.unknown()).optional() })
const Empty = z.object({})

/** What thaw uses of it: the answers by command. */
const COMMANDS = {
  qmp_capabilities: Empty,
  stop: Empty,
  cont: Empty,
  'query-status': z.object({ running: z.boolean(), status: z.string() }),
  'migrate-set-capabilities': Empty,
  'migrate-set-parameters': Empty,
  migrate: Empty,
  'migrate-incoming': Empty,
  'query-migrate': z.object({ status: z.string().optional(), 'error-desc': z.string().optional() }),
  'blockdev-snapshot-sync': Empty,
} as const
export type Command = keyof typeof COMMANDS

interface Waiting {
  command: Command
  resolve: (value: never) => void
  reject: (error: ThawError) => void
}

export class Qmp {
  readonly #stream: Duplex
  readonly #waiting = new Map<number, Waiting>()
  readonly #listeners = new Set<(event: string) => void>()
  #greeted: ((error: ThawError | null) => void) | null = null
  #last = 0
  #text = ''
  #closed: ThawError | null = null

  private constructor(stream: Duplex) {
    this.#stream = stream
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => this.#hear(text))
    stream.on('error', () => {})
    stream.once('close', () => this.#close('QEMU has ended.'))
  }

  /** @throws ThawError ENGINE_FAILED, TIMEOUT */
  static async open(stream: Duplex, scope: Scope): Promise<Qmp> {
    const qmp = new Qmp(stream)
    const greeted = new Promise<void>((resolve, reject) => {
      qmp.#greeted = (error) => (error === null ? resolve() : reject(error))
    })
    await within(scope, 'starting QEMU', greeted)
    await qmp.execute('qmp_capabilities', {}, scope)
    return qmp
  }

  /** @throws ThawError ENGINE_FAILED with what QEMU says, TIMEOUT, CANCELLED */
  execute<C extends Command>(
    command: C,
    given: Record<string, unknown>,
    scope: Scope,
  ): Promise<z.output<(typeof COMMANDS)[C]>> {
    if (this.#closed !== null) return Promise.reject(this.#closed)
    const id = ++this.#last
    const answer = new Promise<z.output<(typeof COMMANDS)[C]>>((resolve, reject) => {
      this.#waiting.set(id, { command, resolve, reject })
    })
    this.#stream.write(`${JSON.stringify({ execute: command, arguments: given, id })}\n`)
    return within(scope, `waiting for QEMU (${command})`, answer)
  }

  /** Told the names of events; returns what ends that. */
  listen(listener: (event: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #hear(text: string): void {
    this.#text += text
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end)
      this.#text = this.#text.slice(end + 1)
      if (line.trim() !== '') this.#take(line)
    }
    if (this.#text.length > LONGEST) this.#broken('a line without an end')
  }

  #take(line: string): void {
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return this.#broken('what is no JSON')
    }
    if (this.#greeted !== null) {
      const greeted = this.#greeted
      this.#greeted = null
      if (Greeting.safeParse(value).success) return greeted(null)
      return this.#broken('no greeting')
    }
    const event = Event.safeParse(value)
    if (event.success) {
      for (const listener of this.#listeners) listener(event.data.event)
      return
    }
    const answer = Answer.safeParse(value)
    if (!answer.success) return this.#broken('an answer of no known form')
    const waiting = this.#waiting.get(answer.data.id ?? this.#last)
    if (waiting === undefined) return
    this.#waiting.delete(answer.data.id ?? this.#last)
    if ('error' in answer.data) {
      const { desc } = answer.data.error
      return waiting.reject(new ThawError('ENGINE_FAILED', `QEMU refused ${waiting.command}: ${desc}.`))
    }
    const result = COMMANDS[waiting.command].safeParse(answer.data.return)
    if (result.success) waiting.resolve(result.data as never)
    else
      waiting.reject(new ThawError('ENGINE_FAILED', `QEMU answered ${waiting.command} in an unknown form.`))
  }

  #broken(what: string): void {
    this.#close(`QEMU said ${what}.`)
    this.#stream.destroy()
  }

  #close(why: string): void {
    this.#closed ??= new ThawError('ENGINE_FAILED', why)
    this.#greeted?.(this.#closed)
    this.#greeted = null
    for (const { reject } of this.#waiting.values()) reject(this.#closed)
    this.#waiting.clear()
  }
}
