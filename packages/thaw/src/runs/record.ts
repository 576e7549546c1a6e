/** What a branch printed, on disk, with the order of its two streams as far as it is known. */
import { closeSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Offsets } from './lineage.js'

export type StreamName = 'stdout' | 'stderr'

const CHUNK = 64 * 1024
/** One byte for the stream, four for the length. */
const ENTRY = 5
const ENTRIES_KEPT = 1024
const NAMES: readonly StreamName[] = ['stdout', 'stderr']

export class OutputRecord {
  readonly directory: string
  readonly #fds: Record<StreamName, number>
  readonly #orderFd: number
  readonly #limit: number
  readonly #sizes: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  #mark: Offsets = { stdout: 0, stderr: 0, order: 0 }
  #entries = 0
  #pending: Buffer[] = []
  #current: { stream: StreamName; size: number } | null = null
  #open = true
  /** Why the record ends before the output did; null while it is whole. */
  broken: string | null = null

  /** @param limit bytes kept of each stream */
  constructor(directory: string, limit: number) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.directory = directory
    this.#limit = limit
    this.#fds = {
      stdout: openSync(join(directory, 'stdout'), 'w', 0o600),
      stderr: openSync(join(directory, 'stderr'), 'w', 0o600),
    }
    this.#orderFd = openSync(join(directory, 'order'), 'w', 0o600)
  }

  append(stream: StreamName, bytes: Uint8Array): void {
    if (this.broken !== null || !this.#open) return
    if (this.#sizes[stream] + bytes.length > this.#limit) {
      this.broken = `it printed more than the ${this.#limit} bytes that are recorded`
      return
    }
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fds[stream], bytes, at)
      this.#sizes[stream] += bytes.length
      if (this.#current?.stream !== stream || this.#current.size + bytes.length > 0xffff_ffff)
        this.#endEntry()
      this.#current ??= { stream, size: 0 }
      this.#current.size += bytes.length
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Where the record stands now. What comes before stays, whatever happens. */
  offsets(): Offsets {
    this.#endEntry()
    this.#flush()
    this.#mark = { ...this.#sizes, order: this.#entries }
    return this.#mark
  }

  close(): void {
    if (!this.#open) return
    this.offsets()
    this.#open = false
    for (const fd of [this.#fds.stdout, this.#fds.stderr, this.#orderFd]) closeSync(fd)
  }

  #endEntry(): void {
    if (this.#current === null) return
    const entry = Buffer.allocUnsafe(ENTRY)
    entry.writeUInt8(NAMES.indexOf(this.#current.stream), 0)
    entry.writeUInt32BE(this.#current.size, 1)
    this.#current = null
    this.#entries++
    this.#pending.push(entry)
    if (this.#pending.length >= ENTRIES_KEPT) this.#flush()
  }

  #flush(): void {
    if (this.#pending.length === 0) return
    try {
      writeSync(this.#orderFd, Buffer.concat(this.#pending))
    } catch (error) {
      this.#fail(error)
    }
    this.#pending = []
  }

  /** What nobody can use any more gives its space back: it may be the last there was. */
  #fail(error: unknown): void {
    this.broken = `its output could not be recorded (${(error as NodeJS.ErrnoException).code ?? String(error)})`
    const { stdout, stderr, order } = this.#mark
    ftruncateSync(this.#fds.stdout, stdout)
    ftruncateSync(this.#fds.stderr, stderr)
    ftruncateSync(this.#orderFd, order * ENTRY)
    this.#sizes.stdout = stdout
    this.#sizes.stderr = stderr
    this.#entries = order
    this.#current = null
    this.#pending = []
  }
}

function* pieces(fd: number, from: number, to: number): Generator<Buffer> {
  for (let at = from; at < to;) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, to - at))
    const size = readSync(fd, buffer, 0, buffer.length, at)
    if (size === 0) return
    at += size
    yield buffer.subarray(0, size)
  }
}

/** Everything a record holds up to the given point, in order. */
export function* readRecord(directory: string, until: Offsets): Generator<[StreamName, Buffer]> {
  const fds: number[] = []
  try {
    for (const name of [...NAMES, 'order']) fds.push(openSync(join(directory, name), 'r'))
    const [outFd, errFd, orderFd] = fds as [number, number, number]
    const at = { stdout: 0, stderr: 0 }
    let rest: Buffer = Buffer.alloc(0)
    for (const piece of pieces(orderFd, 0, until.order * ENTRY)) {
      rest = Buffer.concat([rest, piece])
      let used = 0
      for (; used + ENTRY <= rest.length; used += ENTRY) {
        const stream = NAMES[rest.readUInt8(used)] ?? 'stdout'
        const size = rest.readUInt32BE(used + 1)
        const from = at[stream]
        at[stream] += size
        for (const bytes of pieces(stream === 'stdout' ? outFd : errFd, from, from + size))
          yield [stream, bytes]
      }
      rest = rest.subarray(used)
    }
  } finally {
    for (const fd of fds) closeSync(fd)
  }
}
