/** What the caller has seen of a program that is run several times: what comes again is not shown again. */
import type { RunSink, StreamName } from '../runs/index.js'

const NEWLINE = 10
/** Bytes remembered of each stream; what a program prints beyond that is shown as it comes. */
const LIMIT = 64 * 1024 * 1024

class Stream {
  #seen = Buffer.alloc(0)
  #length = 0
  /** What this attempt has printed that was seen before. */
  #at = 0
  #same = true

  /** A new attempt begins, having printed what the earlier ones had up to `from`. */
  begin(from: number): void {
    this.#at = Math.min(from, this.#length)
    this.#same = true
  }

  get at(): number {
    return this.#at
  }

  /** The part that is new. Where the attempts differ, the line is shown from its start. */
  take(chunk: Uint8Array): Uint8Array {
    if (this.#same) {
      let same = 0
      const seen = this.#seen.subarray(this.#at, this.#length)
      while (same < chunk.length && same < seen.length && chunk[same] === seen[same]) same++
      if (same === chunk.length) {
        this.#at += same
        return chunk.subarray(same)
      }
      if (same < seen.length) {
        const differs = this.#at + same
        const start = this.#seen.subarray(0, differs).lastIndexOf(NEWLINE) + 1
        const lead = Buffer.from(this.#seen.subarray(start, differs))
        const cut = this.#seen[this.#length - 1] === NEWLINE ? Buffer.alloc(0) : Buffer.from('\n')
        this.#length = differs
        this.#at = differs
        this.#same = false
        return this.#new(chunk.subarray(same), Buffer.concat([cut, lead]))
      }
      this.#at += same
      chunk = chunk.subarray(same)
      this.#same = false
    }
    return this.#new(chunk, null)
  }

  #new(chunk: Uint8Array, lead: Buffer | null): Uint8Array {
    if (this.#length + chunk.length <= LIMIT) {
      if (this.#length + chunk.length > this.#seen.length) {
        const grown = Buffer.alloc(Math.max(64 * 1024, 2 * (this.#length + chunk.length)))
        this.#seen.copy(grown, 0, 0, this.#length)
        this.#seen = grown
      }
      this.#seen.set(chunk, this.#length)
      this.#length += chunk.length
      this.#at = this.#length
    }
    return lead === null || lead.length === 0 ? chunk : Buffer.concat([lead, chunk])
  }
}

export class Shown {
  readonly #sink: Pick<RunSink, StreamName>
  readonly #streams = { stdout: new Stream(), stderr: new Stream() }

  constructor(sink: Pick<RunSink, StreamName>) {
    this.#sink = sink
  }

  /** The sink for one attempt. */
  attempt(started: RunSink['started'], also: (stream: StreamName, chunk: Uint8Array) => void): RunSink {
    for (const stream of Object.values(this.#streams)) stream.begin(0)
    return this.#for(started, also)
  }

  /** For an attempt that goes on from a checkpoint, and prints only what comes after it. */
  goingOn(
    from: Record<StreamName, number>,
    started: RunSink['started'],
    also: (stream: StreamName, chunk: Uint8Array) => void,
  ): RunSink {
    this.#streams.stdout.begin(from.stdout)
    this.#streams.stderr.begin(from.stderr)
    return this.#for(started, also)
  }

  #for(started: RunSink['started'], also: (stream: StreamName, chunk: Uint8Array) => void): RunSink {
    const to = (name: StreamName) => async (chunk: Uint8Array) => {
      also(name, chunk)
      const fresh = this.#streams[name].take(chunk)
      if (fresh.length > 0) await this.#sink[name](fresh)
    }
    return { started, stdout: to('stdout'), stderr: to('stderr') }
  }
}
