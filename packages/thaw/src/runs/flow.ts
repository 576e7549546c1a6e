/** From a branch's pipes to the caller, at the caller's speed. */
import type { StreamName } from './record.js'

/** Where a run's output goes. A promise that is not resolved holds the program back. */
export interface RunSink {
  started(ids: { run: string; branch: string }): void
  stdout(chunk: Uint8Array): Promise<void>
  stderr(chunk: Uint8Array): Promise<void>
}

/** Bytes waiting for the caller before the program is held back. */
const HIGH = 1024 * 1024

export class OutputFlow {
  readonly #sink: RunSink
  readonly #queue: [StreamName, Uint8Array][] = []
  readonly #closed = new Set<StreamName>()
  #size = 0
  #running = false
  #gate: Promise<void>
  #open: (first: Promise<void>) => void = () => {}
  #idle: (() => void)[] = []
  /** The caller has caught up. */
  onRelaxed: () => void = () => {}
  /** The caller's reader has gone. */
  onClosed: (stream: StreamName) => void = () => {}

  constructor(sink: RunSink) {
    this.#sink = sink
    this.#gate = new Promise((resolve) => (this.#open = resolve))
  }

  /** Sends these first, and only then what is pushed. Nothing reaches the caller before this is called. */
  lead(source: Iterable<[StreamName, Uint8Array]>): Promise<void> {
    const first = (async () => {
      for (const [stream, bytes] of source) await this.#send(stream, bytes)
    })()
    this.#open(first)
    return first
  }

  /** Takes over the bytes. Returns false when enough is waiting. */
  push(stream: StreamName, bytes: Uint8Array): boolean {
    if (!this.#closed.has(stream)) {
      this.#queue.push([stream, bytes])
      this.#size += bytes.length
      if (!this.#running) void this.#run()
    }
    return this.#size < HIGH
  }

  /** Resolves when less is waiting than would hold the program back. */
  async relaxed(): Promise<void> {
    while (this.#size >= HIGH) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** Resolves when the caller has everything. */
  async finished(): Promise<void> {
    await this.#gate
    while (this.#running || this.#queue.length > 0)
      await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  async #run(): Promise<void> {
    this.#running = true
    await this.#gate.catch(() => {})
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.#send(...next)
      const held = this.#size >= HIGH
      this.#size -= next[1].length
      if (held && this.#size < HIGH) this.onRelaxed()
      this.#wake()
    }
    this.#running = false
    this.#wake()
  }

  #wake(): void {
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }

  async #send(stream: StreamName, bytes: Uint8Array): Promise<void> {
    if (this.#closed.has(stream)) return
    try {
      await this.#sink[stream](bytes)
    } catch {
      this.#closed.add(stream)
      this.onClosed(stream)
    }
  }
}
