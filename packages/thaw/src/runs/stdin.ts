/** What the caller sends on stdin: kept on disk, compared with earlier runs, fed to the program. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import type { Branch } from '../engines/engine.js'

const CHUNK = 64 * 1024
/** Bytes kept. A program that takes more is not resumed after that point. */
export const SPOOL_LIMIT = 64 * 1024 * 1024
/** A caller that has sent nothing for so long is waiting for the program. Milliseconds. */
const PATIENCE = 300

function readAt(fd: number, at: number, size: number): Buffer {
  const buffer = Buffer.allocUnsafe(size)
  let have = 0
  while (have < size) {
    const got = readSync(fd, buffer, have, size - have, at + have)
    if (got === 0) break
    have += got
  }
  return buffer.subarray(0, have)
}

export class StdinFeed {
  readonly path: string
  readonly #fd: number
  #received = 0
  #ended = false
  #branch: Branch | null = null
  #fed = 0
  #closed = false
  #overflow = false
  #waiting: (() => void)[] = []
  #need: () => void = () => {}
  /** Resolves when a plan waits for what the caller has to send. */
  readonly needed: Promise<void> = new Promise((resolve) => (this.#need = resolve))
  #pumping: Promise<void> = Promise.resolve()

  /** @param path file for what arrives */
  constructor(path: string, never: boolean) {
    this.path = path
    this.#fd = openSync(path, 'w+', 0o600)
    this.#ended = never
  }

  get received(): number {
    return this.#received
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Whether more arrived than is kept. */
  get overflow(): boolean {
    return this.#overflow
  }

  /** Resolves when more may be sent. */
  async take(chunk: Uint8Array): Promise<void> {
    if (this.#closed || this.#ended) return
    if (!this.#overflow && this.#received + chunk.length <= SPOOL_LIMIT) {
      for (let at = 0; at < chunk.length;) {
        at += writeSync(this.#fd, chunk, at, chunk.length - at, this.#received + at)
      }
      this.#received += chunk.length
      this.#wake()
      if (this.#branch !== null) await this.#pump()
      return
    }
    this.#overflow = true
    while (this.#branch === null && !this.#closed) await this.#change()
    await this.#pump()
    await this.#branch?.writeStdin(chunk)
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#wake()
    if (this.#branch !== null) void this.#pump().then(() => this.#branch?.endStdin())
  }

  /** From now on everything after the first `consumed` bytes goes to this branch. */
  attach(branch: Branch, consumed: number): void {
    this.#branch = branch
    this.#fed = consumed
    this.#wake()
    void this.#pump().then(() => {
      if (this.#ended) branch.endStdin()
    })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#wake()
    void this.#pumping.finally(() => closeSync(this.#fd))
  }

  /** Whether what arrives begins like the file of an earlier run. Waits for it, but not for ever. */
  async startsLike(earlier: string, bytes: number): Promise<boolean> {
    if (bytes === 0) return true
    this.#need()
    while (this.#received < bytes && !this.#ended) {
      if (!(await this.#changeWithin(PATIENCE))) break
    }
    if (this.#received < bytes) return false
    let fd
    try {
      fd = openSync(earlier, 'r')
    } catch {
      return false
    }
    try {
      for (let at = 0; at < bytes; at += CHUNK) {
        const size = Math.min(CHUNK, bytes - at)
        const then = readAt(fd, at, size)
        if (then.length !== size || !then.equals(readAt(this.#fd, at, size))) return false
      }
      return true
    } finally {
      closeSync(fd)
    }
  }

  /** Whether exactly this many bytes come. */
  async endsAt(bytes: number): Promise<boolean> {
    this.#need()
    while (!this.#ended && this.#received <= bytes) {
      if (!(await this.#changeWithin(PATIENCE))) break
    }
    return this.#ended && this.#received === bytes
  }

  #pump(): Promise<void> {
    this.#pumping = this.#pumping.then(async () => {
      while (this.#branch !== null && !this.#closed && this.#fed < this.#received) {
        const chunk = readAt(this.#fd, this.#fed, Math.min(CHUNK, this.#received - this.#fed))
        await this.#branch.writeStdin(chunk)
        this.#fed += chunk.length
      }
    })
    return this.#pumping
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #changeWithin(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms)
      this.#waiting.push(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
