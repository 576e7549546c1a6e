/** One process, or thread, of a service: it lets go of its connection to be copied, and comes back with another. */
import type { z } from 'zod'
import { KeeperMessage, SlotMessage, type HostError } from '@thaw/protocol/service-host'
import { ThawError } from '../system/index.js'
import type { Line } from './line.js'

export class Party {
  #line: Line | null = null
  #parting: (() => void) | null = null
  #waiting: (() => void)[] = []
  #gone = false
  /** Called once, when its connection has ended of itself. */
  onGone: () => void = () => {}

  attach(line: Line): void {
    if (this.#gone) return line.close()
    this.#line = line
    line.onFrame = (message, body) => this.take(message, body)
    line.onEnd = () => {
      this.#line = null
      const parting = this.#parting
      this.#parting = null
      if (parting !== null) parting()
      else this.end()
    }
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  get line(): Line | null {
    return this.#line
  }

  get gone(): boolean {
    return this.#gone
  }

  /** Resolves when it is connected. */
  arrived(): Promise<void> {
    if (this.#line !== null) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** It lets go of its connection. Prerequisite: nothing is under way on it. */
  part(): Promise<void> {
    const line = this.#line
    if (line === null) return Promise.resolve()
    return new Promise((resolve) => {
      this.#parting = resolve
      line.send({ do: 'part' })
    })
  }

  /** It counts as gone from now on. */
  end(): void {
    if (this.#gone) return
    this.#gone = true
    this.#line?.close()
    this.#line = null
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.lost()
    this.onGone()
  }

  protected take(_message: unknown, _body: Buffer): void {}
  protected lost(): void {}
}

type Reply = z.infer<typeof KeeperMessage>

/** One that answers, one question after the other. */
export class Asked extends Party {
  readonly #questions: { resolve: (reply: Reply) => void; reject: (error: unknown) => void }[] = []
  /** What it said before anybody waited for it. */
  readonly #early: Reply[] = []

  /** @throws ThawError WORKER_CRASHED when it ends first */
  ask(message: unknown, body?: Uint8Array): Promise<Reply> {
    const { line } = this
    if (line === null) return Promise.reject(crashed())
    line.send(message, body)
    return this.next()
  }

  /** Its next message. */
  next(): Promise<Reply> {
    const early = this.#early.shift()
    if (early !== undefined) return Promise.resolve(early)
    return new Promise((resolve, reject) => {
      if (this.gone) reject(crashed())
      else this.#questions.push({ resolve, reject })
    })
  }

  protected override take(message: unknown): void {
    const reply = KeeperMessage.parse(message)
    const question = this.#questions.shift()
    if (question === undefined) this.#early.push(reply)
    else question.resolve(reply)
  }

  protected override lost(): void {
    for (const { reject } of this.#questions.splice(0)) reject(crashed())
  }
}

export type Outcome =
  | {
      t: 'result'
      kind: 'json' | 'bytes' | 'pickle'
      version: string
      seconds: number
      grown: number
      body: Buffer
    }
  | { t: 'error'; error: HostError; version: string; seconds: number; grown: number }

/** Told what a call prints. Returns a promise when it has to wait. */
export type Printed = (stream: 'stdout' | 'stderr', bytes: Buffer) => Promise<void> | undefined

export interface CallRequest {
  /** Id of the request, as its caller knows it. */
  id: string
  fn: string
  kind: 'json' | 'bytes' | 'pickle'
  body: Uint8Array
  /** Seconds; null: as long as it likes. */
  timeout: number | null
  isolation: 'service' | 'call'
  /** Aborted when nobody waits for it any more. */
  signal: AbortSignal
  printed: Printed
}

interface Current {
  id: number
  printed: Printed
  resolve: (outcome: Outcome) => void
  reject: (error: unknown) => void
}

/** A connection that carries one call at a time. */
export class Slot extends Party {
  /** Whether it is meant for a call, or carries one. */
  taken = false
  /** Whether its call was given up and goes on. */
  stuck = false
  #current: Current | null = null

  /** Id of the call that it carries. */
  get call(): number | null {
    return this.#current?.id ?? null
  }

  /** Prerequisite: it is connected and carries none. @throws ThawError WORKER_CRASHED */
  carry(id: number, { id: request, fn, kind, body, printed }: CallRequest): Promise<Outcome> {
    const { line } = this
    if (line === null) return Promise.reject(crashed())
    const outcome = this.expect(id, printed)
    line.send({ do: 'call', id, fn, kind, request }, body)
    return outcome
  }

  /** Of a call that it carries already, once it is connected. @throws ThawError WORKER_CRASHED */
  expect(id: number, printed: Printed): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (this.gone) reject(crashed())
      else this.#current = { id, printed, resolve, reject }
    })
  }

  /** What its call prints from now on is for nobody. */
  mute(): void {
    if (this.#current !== null) this.#current.printed = () => undefined
    this.line?.resume()
  }

  /** In thaw's own words, among what the call prints. */
  say(text: string): void {
    void this.#current?.printed('stderr', Buffer.from(text))
  }

  protected override take(raw: unknown, body: Buffer): void {
    const message = SlotMessage.parse(raw)
    const current = this.#current
    if (current === null || message.id !== current.id) return
    if (message.t === 'out') {
      const wait = current.printed(message.stream, body)
      if (wait === undefined) return
      const { line } = this
      line?.pause()
      void wait.finally(() => line?.resume())
      return
    }
    this.#current = null
    current.resolve(message.t === 'result' ? { ...message, body } : message)
  }

  protected override lost(): void {
    this.#current?.reject(crashed())
    this.#current = null
  }
}

function crashed(): ThawError {
  return new ThawError('WORKER_CRASHED', 'The process ended.')
}
