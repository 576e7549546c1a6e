/** What an instance prints, on disk, in the order in which it came: the newest part of it, up to a bound. */
import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../system/index.js'

export type StreamName = 'stdout' | 'stderr'

export interface Printed {
  stream: StreamName
  bytes: Buffer
}

const NAMES: readonly StreamName[] = ['stdout', 'stderr']
/** One byte for the stream, four for the length. */
const HEADER = 5
const PIECE = 64 * 1024
export const LOG_LIMIT = 64e6
/** Parts in which it is given up, the oldest first. */
const SEGMENTS = 4

export class InstanceLog {
  readonly #directory: string
  readonly #limit: number
  readonly #log: Log
  readonly #waiting = new Set<() => void>()
  #segment: number
  #fd: number | null = null
  #size = 0
  #broken = false
  #open = true

  /** @param limit bytes on disk, about */
  constructor(directory: string, log: Log, limit = LOG_LIMIT) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#directory = directory
    this.#log = log
    this.#limit = limit
    this.#segment = segmentsOf(directory).at(-1) ?? 0
  }

  /** A full disk ends the record, not the program. */
  append(stream: StreamName, bytes: Uint8Array): void {
    if (!this.#open || this.#broken) return
    try {
      for (let at = 0; at < bytes.length; at += PIECE) this.#write(stream, bytes.subarray(at, at + PIECE))
    } catch (error) {
      this.#broken = true
      this.#log.warn('What an instance prints is not recorded any more.', { error })
    }
    this.#wake()
  }

  /** Whoever follows comes to an end. */
  close(): void {
    this.#open = false
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = null
    this.#wake()
  }

  /**
   * What was printed, oldest first.
   *
   * @param follow go on until the log is closed or `signal` aborted
   */
  async *read(follow: boolean, signal?: AbortSignal): AsyncGenerator<Printed> {
    let segment = 0
    let at = 0
    for (;;) {
      const open = this.#open
      let news = false
      const all = segmentsOf(this.#directory)
      const current = all.find((number) => number >= segment)
      if (current !== undefined) {
        if (current !== segment) [segment, at] = [current, 0]
        for (const part of partsOf(join(this.#directory, nameOf(segment)), at)) {
          at += HEADER + part.bytes.length
          news = true
          yield part
        }
        if (segment < (all.at(-1) ?? 0)) {
          segment++
          at = 0
          continue
        }
      }
      // More may have come while the last was taken.
      if (news) continue
      if (!follow || !open || signal?.aborted === true) return
      await this.#news(signal)
    }
  }

  #write(stream: StreamName, bytes: Uint8Array): void {
    if (this.#fd === null || this.#size > this.#limit / SEGMENTS) this.#nextSegment()
    const entry = Buffer.allocUnsafe(HEADER + bytes.length)
    entry.writeUInt8(NAMES.indexOf(stream), 0)
    entry.writeUInt32BE(bytes.length, 1)
    entry.set(bytes, HEADER)
    for (let at = 0; at < entry.length;) at += writeSync(this.#fd as number, entry, at)
    this.#size += entry.length
  }

  #nextSegment(): void {
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = openSync(join(this.#directory, nameOf(++this.#segment)), 'w', 0o600)
    this.#size = 0
    for (const old of segmentsOf(this.#directory)) {
      if (old <= this.#segment - SEGMENTS) rmSync(join(this.#directory, nameOf(old)), { force: true })
    }
  }

  /** Resolves when something was printed since the last look, or nothing more will be. */
  #news(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#open) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      this.#waiting.add(done)
      signal?.addEventListener('abort', done, { once: true })
    })
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
  }
}

/** Of a log that nobody writes any more. */
export function readLog(directory: string, log: Log): AsyncGenerator<Printed> {
  return new InstanceLog(directory, log).read(false)
}

const nameOf = (segment: number) => `${segment}.log`

function segmentsOf(directory: string): number[] {
  return readdirSync(directory)
    .flatMap((name) => (/^\d+\.log$/.test(name) ? [Number.parseInt(name, 10)] : []))
    .sort((a, b) => a - b)
}

/** Whole entries from an offset on. One that is being written, or was cut by a kill, is left. */
function* partsOf(file: string, from: number): Generator<Printed> {
  let fd
  try {
    fd = openSync(file, 'r')
  } catch {
    return // given up meanwhile
  }
  try {
    const { size } = fstatSync(fd)
    const header = Buffer.alloc(HEADER)
    for (let at = from; at + HEADER <= size;) {
      readSync(fd, header, 0, HEADER, at)
      const bytes = Buffer.alloc(header.readUInt32BE(1))
      if (at + HEADER + bytes.length > size) return
      readSync(fd, bytes, 0, bytes.length, at + HEADER)
      at += HEADER + bytes.length
      yield { stream: NAMES[header.readUInt8(0)] ?? 'stdout', bytes }
    }
  } finally {
    closeSync(fd)
  }
}
