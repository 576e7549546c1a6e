import { Operation, OperationEvent, ThawError } from '@thaw/protocol'
import { at, type Call } from './call.js'
import { readEvents } from './events.js'
import type { Transport } from './transport.js'

/** Seconds that one request waits at most; longer ones are asked again, so that no proxy gives them up. */
const TURN = 50

export interface StartOptions {
  /** The same key with the same request starts it once, however often it is sent. */
  idempotencyKey?: string
  /** Whole seconds until the call returns, where the end does not come before. Default: once its program runs. */
  wait?: number
  /** Gives the call up; what it has begun goes on. */
  signal?: AbortSignal
}

/** Work of the daemon: a run or a resume that goes on whether or not anybody follows it. */
export class OperationHandle {
  readonly id: string
  readonly #call: Call
  readonly #transport: Transport
  #latest: Operation

  constructor(call: Call, transport: Transport, operation: Operation) {
    this.id = operation.id
    this.#call = call
    this.#transport = transport
    this.#latest = operation
  }

  /** As it was when last looked at. */
  get latest(): Operation {
    return this.#latest
  }

  /** The branches that it began, or whose record it replays. */
  get branches(): readonly string[] {
    return this.#latest.branches
  }

  async refresh(): Promise<Operation> {
    return (this.#latest = await this.#call('GET', this.#path, Operation))
  }

  /**
   * Waits until it has ended. An exit code other than 0 is no error.
   *
   * @param options.seconds waits no longer than this; the operation may then be running still
   * @throws ThawError why it failed; CANCELLED when it was cancelled, or `signal` aborted
   */
  async wait(options: { seconds?: number; signal?: AbortSignal } = {}): Promise<Operation> {
    const { seconds = Infinity, signal } = options
    const until = performance.now() + seconds * 1000
    while (this.#latest.state === 'running') {
      const left = Math.ceil((until - performance.now()) / 1000)
      if (left <= 0) return this.#latest
      this.#latest = await this.#call('GET', this.#path, Operation, {
        headers: { prefer: `wait=${Math.min(left, TURN)}` },
        ...(signal === undefined ? {} : { signal }),
      })
    }
    const { state, error } = this.#latest
    if (state === 'cancelled') throw new ThawError('CANCELLED', `The operation ${this.id} was cancelled.`)
    if (error !== null) throw ThawError.fromBody(error)
    return this.#latest
  }

  /** What its programs print and its end, from its beginning. A connection that breaks is made again, once it had brought something. */
  async *events(options: { signal?: AbortSignal } = {}): AsyncGenerator<OperationEvent> {
    let last: string | null = null
    for (;;) {
      let brought = false
      const headers: Record<string, string> = last === null ? {} : { 'last-event-id': last }
      try {
        const bytes = this.#transport.bytes(`${this.#path}/events`, { ...options, headers })
        for await (const { id, data } of readEvents(bytes)) {
          const event = OperationEvent.parse(JSON.parse(data))
          last = id ?? last
          brought = true
          yield event
          if (event.t === 'end') {
            this.#latest = event.operation
            return
          }
        }
      } catch (error) {
        if (!brought || !(error instanceof ThawError) || error.code !== 'DAEMON_LOST') throw error
        continue
      }
      if (!brought) throw new ThawError('DAEMON_LOST', `The events of ${this.id} ended before it did.`)
    }
  }

  /** Ends its programs, and waits for that. */
  async cancel(): Promise<Operation> {
    return (this.#latest = await this.#call('POST', `${this.#path}/cancel`, Operation))
  }

  get #path(): string {
    return `/v1/operations/${at(this.id)}`
  }
}
