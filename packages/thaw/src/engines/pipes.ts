/** The daemon's ends of a branch's FIFOs and pipes. */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { waitingBytes } from '../system/index.js'
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net'

const CHUNK = 64 * 1024
/** How often those are let in who open a pipe anew whose input has ended. Milliseconds. */
const REOPENING = 50

function wouldBlock(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN'
}

/** Reads what a branch prints. */
export class OutputPipe {
  readonly #fd: number
  readonly #socket: Socket
  #take: (bytes: Buffer) => boolean
  readonly #buffer = Buffer.allocUnsafe(CHUNK)
  #open = true
  /** Resolves when the last writer has closed, or this end was. */
  readonly ended: Promise<void>

  /** @param take returns false to stop reading until `resume` */
  constructor(path: string, take: (bytes: Buffer) => boolean) {
    this.#take = take
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    // The types know `onread` with sockets only; a pipe takes it as well, and nothing is then held in memory.
    const options: SocketConstructorOpts & { onread: OnReadOpts } = {
      fd: this.#fd,
      readable: true,
      writable: false,
      onread: {
        buffer: Buffer.allocUnsafe(CHUNK),
        callback: (size, bytes) => this.#take(Buffer.from(bytes.buffer, bytes.byteOffset, size)),
      },
    }
    this.#socket = new Socket(options)
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.#open = false
        resolve()
      }
      this.#socket.once('end', end)
      this.#socket.once('close', end)
      this.#socket.on('error', end)
    })
    this.#socket.resume()
  }

  resume(): void {
    if (this.#open) this.#socket.resume()
  }

  /** Hands over, now, everything that is in the pipe. */
  drain(): void {
    while (this.#open) {
      let size
      try {
        size = readSync(this.#fd, this.#buffer)
      } catch (error) {
        if (wouldBlock(error)) return
        throw error
      }
      if (size === 0) return
      this.#take(this.#buffer.subarray(0, size))
    }
  }

  /** Reads on to the end of file, for nobody. */
  discard(): void {
    if (!this.#open) return
    this.#take = () => true
    this.#socket.resume()
    void this.ended.then(() => this.#socket.destroy())
  }

  close(): void {
    this.#open = false
    this.#socket.destroy()
  }
}

/** Feeds a branch's stdin, and knows how much of it was taken. */
export class InputPipe {
  readonly #reader: number
  #writer: number | null
  #written = 0
  #queue: Promise<void> = Promise.resolve()
  #closed = false
  #reopening: NodeJS.Timeout | null = null

  constructor(path: string) {
    // A reader of our own first: opening for writing fails without one, and it can count what nobody took.
    this.#reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    this.#writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  }

  /** Bytes that the pipe has accepted so far. */
  get written(): number {
    return this.#written
  }

  /** Resolves when all bytes are in the pipe, or it has been closed. */
  write(bytes: Uint8Array): Promise<void> {
    const step = this.#queue.then(() => this.#pump(bytes))
    this.#queue = step
    return step
  }

  /**
   * End of file after everything written so far.
   *
   * @param opened resolves when the program has the pipe open: opening it without any writer would block
   */
  end(opened: Promise<void>): void {
    this.#queue = this.#queue
      .then(() => opened)
      .then(() => {
        this.#closeWriter()
        if (!this.#closed) this.#reopening = setInterval(() => this.#letIn(), REOPENING).unref()
      })
  }

  /** Who opens it by a name (/dev/stdin) waits for a writer: unlike a shell's pipe, this one has a name of its own. */
  #letIn(): void {
    try {
      closeSync(this.#anotherWriter())
    } catch {
      // Out of descriptors: the next time will do.
    }
  }

  #anotherWriter(): number {
    return openSync(`/proc/self/fd/${this.#reader}`, constants.O_WRONLY | constants.O_NONBLOCK)
  }

  /** Bytes that nobody has taken yet. */
  get waiting(): number {
    return waitingBytes(this.#reader)
  }

  /** What waits in the pipe, and still does afterwards. Prerequisite: the program stands still. */
  unread(): Buffer {
    const left = this.#takeAll()
    // Without a writer of its own it was taken for good: one is opened for as long as it takes to put it back.
    const writer = this.#writer ?? this.#anotherWriter()
    for (let rest = left; rest.length > 0;) rest = rest.subarray(writeSync(writer, rest))
    if (this.#writer === null) closeSync(writer)
    return left
  }

  /** Prerequisite: the program is gone. Returns how many bytes it had taken. */
  close(): number {
    this.#closed = true
    if (this.#reopening !== null) clearInterval(this.#reopening)
    this.#closeWriter()
    const left = this.#takeAll().length
    closeSync(this.#reader)
    return this.#written - left
  }

  #takeAll(): Buffer {
    const chunks: Buffer[] = []
    for (;;) {
      const buffer = Buffer.allocUnsafe(CHUNK)
      let size
      try {
        size = readSync(this.#reader, buffer)
      } catch (error) {
        if (wouldBlock(error)) break
        throw error
      }
      if (size === 0) break
      chunks.push(buffer.subarray(0, size))
    }
    return Buffer.concat(chunks)
  }

  async #pump(bytes: Uint8Array): Promise<void> {
    let rest = bytes
    let pause = 0
    while (rest.length > 0 && this.#writer !== null && !this.#closed) {
      try {
        const size = writeSync(this.#writer, rest, 0, Math.min(rest.length, CHUNK))
        this.#written += size
        rest = rest.subarray(size)
        pause = 0
      } catch (error) {
        if (!wouldBlock(error)) throw error
        await new Promise((resolve) => setTimeout(resolve, pause))
        pause = Math.min(pause + 1, 10)
      }
    }
  }

  #closeWriter(): void {
    if (this.#writer !== null) closeSync(this.#writer)
    this.#writer = null
  }
}
