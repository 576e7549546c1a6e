/** The daemon's side of a pseudo terminal. */
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import { openTerminal, resizeTerminal, terminalSize, type PseudoTerminal } from '../../system/index.js'
import type { TerminalSize } from '../engine.js'

const CHUNK = 64 * 1024
/** What end-of-file is typed as (VEOF of a new terminal). */
const END_OF_FILE = Buffer.from([4])

/** What is typed goes in, what is printed comes out; both as in pipes.ts. */
export class Terminal {
  readonly #terminal: PseudoTerminal
  readonly #reader: ReadStream
  readonly #buffer = Buffer.allocUnsafe(CHUNK)
  #take: (bytes: Buffer) => boolean
  #open = true
  #written = 0
  #queue: Promise<void> = Promise.resolve()
  readonly ended: Promise<void>

  /**
   * @param root of the sandbox in which the terminal is
   * @param take returns false to stop reading until `resume`
   */
  constructor(size: TerminalSize, root: string, take: (bytes: Buffer) => boolean) {
    this.#take = take
    this.#terminal = openTerminal(size.rows, size.cols, root)
    this.#reader = new ReadStream(this.#terminal.master)
    this.#reader.on('data', (bytes: Buffer) => {
      if (!this.#take(bytes)) this.#reader.pause()
    })
    this.ended = new Promise((resolve) => {
      // EIO is how a terminal says that nobody has it open any more.
      this.#reader.on('error', () => resolve())
      this.#reader.once('close', () => resolve())
    })
  }

  /** Of the program's end, as the program sees it. */
  get path(): string {
    return this.#terminal.path
  }

  /** How criu names this terminal. */
  get key(): string {
    const { rdev, dev } = fstatSync(this.#terminal.slave)
    return `tty[${rdev.toString(16)}:${dev.toString(16)}]`
  }

  get size(): TerminalSize {
    return terminalSize(this.#terminal.master)
  }

  resize(size: TerminalSize): void {
    if (this.#open) resizeTerminal(this.#terminal.master, size.rows, size.cols)
  }

  get written(): number {
    return this.#written
  }

  write(bytes: Uint8Array): Promise<void> {
    this.#queue = this.#queue.then(() => this.#pump(bytes))
    return this.#queue
  }

  end(): void {
    void this.write(END_OF_FILE)
  }

  resume(): void {
    if (this.#open) this.#reader.resume()
  }

  drain(): void {
    while (this.#open) {
      let size
      try {
        size = readSync(this.#terminal.master, this.#buffer)
      } catch {
        return // EAGAIN: nothing more; EIO: nobody is left
      }
      if (size === 0) return
      this.#take(this.#buffer.subarray(0, size))
    }
  }

  discard(): void {
    this.#take = () => true
    this.#reader.resume()
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#terminal.slave)
    this.#reader.destroy()
  }

  async #pump(bytes: Uint8Array): Promise<void> {
    let rest = bytes
    let pause = 0
    while (rest.length > 0 && this.#open) {
      try {
        const size = writeSync(this.#terminal.master, rest)
        this.#written += size
        rest = rest.subarray(size)
        pause = 0
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        await new Promise((resolve) => setTimeout(resolve, pause))
        pause = Math.min(pause + 1, 10)
      }
    }
  }
}
