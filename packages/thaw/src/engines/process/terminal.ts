/** The daemon's side of a pseudo terminal. */
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import {
  openTerminal,
  resizeTerminal,
  TerminalMode,
  terminalSize,
  waitingBytes,
  type PseudoTerminal,
} from '../../system/index.js'
import type { TerminalSize } from '../engine.js'

const CHUNK = 64 * 1024
/** What end-of-file is typed as (VEOF of a new terminal). */
const END_OF_FILE = Buffer.from([4])

/** What the kernel's worker needs to bring typed bytes through. Milliseconds. */
const WORKER = 3
const TRIES = 200

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** What is typed goes in, what is printed comes out; both as in pipes.ts. */
export class Terminal {
  readonly #terminal: PseudoTerminal
  readonly #reader: ReadStream
  readonly #buffer = Buffer.allocUnsafe(CHUNK)
  #take: (bytes: Buffer) => boolean
  #open = true
  #written = 0
  #queue: Promise<void> = Promise.resolve()
  #held: Promise<void> = Promise.resolve()
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

  /** As the program has set it. */
  get mode(): TerminalMode {
    return TerminalMode.of(this.#terminal.slave)
  }

  /** What was typed and not read yet; it stays there to be read. Prerequisite: the program stands still. */
  async unread(): Promise<Buffer> {
    const mode = this.mode
    const typed: Buffer[] = []
    await this.#alone(async () => {
      try {
        mode.raw.give(this.#terminal.slave)
        // What has not come through yet does so by way of a worker of the kernel.
        for (let silent = 0; silent < 2 && this.#open; silent++) {
          for (let size; (size = readSync(this.#terminal.slave, this.#buffer)) > 0; silent = 0)
            typed.push(Buffer.from(this.#buffer.subarray(0, size)))
          await pause(WORKER)
        }
      } finally {
        mode.give(this.#terminal.slave)
      }
    })
    // Reading takes the end of a file for a zero.
    const all = Buffer.concat(typed)
    const unread = mode.byLines ? all.map((byte) => (byte === 0 ? mode.endOfFile : byte)) : all
    await this.retype(Buffer.from(unread), mode)
    return Buffer.from(unread)
  }

  /** What its program had not read in another terminal, which had this mode. */
  async giveBack(typed: Buffer, mode: TerminalMode): Promise<void> {
    this.#written += typed.length
    await this.retype(typed, mode)
  }

  /** Types what had been typed before: it does not show again. The terminal then has this mode. */
  async retype(typed: Buffer, mode: TerminalMode): Promise<void> {
    await this.#alone(async () => {
      mode.silent.give(this.#terminal.slave)
      try {
        for (let at = 0, tries = 0; at < typed.length && tries < TRIES; tries++) {
          try {
            at += writeSync(this.#terminal.master, typed, at)
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
            await pause(WORKER)
          }
        }
        const whole = mode.byLines ? typed.lastIndexOf(10) + 1 : typed.length
        for (let tries = 0; tries < TRIES && waitingBytes(this.#terminal.slave) < whole; tries++)
          await pause(WORKER)
        if (typed.length > whole) await pause(WORKER)
      } finally {
        mode.give(this.#terminal.slave)
      }
    })
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

  /** Nothing is typed meanwhile. */
  async #alone(work: () => Promise<void>): Promise<void> {
    const held = work()
    this.#held = held.catch(() => {})
    await held
  }

  async #pump(bytes: Uint8Array): Promise<void> {
    let rest = bytes
    let wait = 0
    while (rest.length > 0 && this.#open) {
      await this.#held
      try {
        const size = writeSync(this.#terminal.master, rest)
        this.#written += size
        rest = rest.subarray(size)
        wait = 0
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        await pause(wait)
        wait = Math.min(wait + 1, 10)
      }
    }
  }
}
