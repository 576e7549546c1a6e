/** What the caller sends on stdin, for every attempt from its start. */
import type { RunHandle } from '../runs/index.js'

/** Bytes that are kept for attempts to come. */
const LIMIT = 64 * 1024 * 1024
/** Bytes shown to a repairer. */
const SHOWN = 4 * 1024

type Taker = Pick<RunHandle<unknown>, 'stdin' | 'stdinEnd'>

export class Input {
  readonly #chunks: Uint8Array[] = []
  #size = 0
  #ended: boolean
  #taker: Taker | null = null
  /** How many chunks the present attempt was sent. */
  #sent = 0
  #skip = 0
  #sending: Promise<void> = Promise.resolve()

  /** @param none whether nothing can come */
  constructor(none: boolean) {
    this.#ended = none
  }

  /** Whether more came than can be sent again. */
  get overflown(): boolean {
    return this.#size > LIMIT
  }

  /** Resolves when the next piece may come. */
  async take(chunk: Uint8Array): Promise<void> {
    this.#size += chunk.length
    if (this.overflown) {
      // It goes to the present attempt only.
      this.#chunks.length = 0
      this.#sent = 0
    }
    this.#chunks.push(chunk)
    await this.#send()
  }

  end(): void {
    this.#ended = true
    void this.#send()
  }

  /** An attempt is to be sent everything from a position on, and what is yet to come. */
  feed(taker: Taker, from: number): Promise<void> {
    this.#taker = taker
    this.#sent = 0
    this.#skip = from
    return this.#send()
  }

  /** What was sent so far, for an attempt beside the others. */
  copy(): Input {
    const copy = new Input(true)
    copy.#chunks.push(...this.#chunks)
    return copy
  }

  /** The end of what was sent; null where nothing was. */
  tail(): string | null {
    if (this.#size === 0) return null
    return Buffer.concat(this.#chunks).subarray(-SHOWN).toString('utf8')
  }

  #send(): Promise<void> {
    this.#sending = this.#sending.then(async () => {
      const taker = this.#taker
      if (taker === null) return
      while (taker === this.#taker && this.#sent < this.#chunks.length) {
        const chunk = this.#chunks[this.#sent++] as Uint8Array
        const rest = chunk.subarray(Math.min(this.#skip, chunk.length))
        this.#skip -= chunk.length - rest.length
        // A program that has closed its stdin: nothing more is wanted.
        if (rest.length > 0) await taker.stdin(rest).catch(() => {})
      }
      if (this.#ended && taker === this.#taker) {
        this.#taker = null
        taker.stdinEnd()
      }
    })
    return this.#sending
  }
}
