/** Connections with the processes of services: frames of a message and bytes, both ways. */
import { createServer, type Server, type Socket } from 'node:net'
import { rmSync } from 'node:fs'
import { HostHello } from '@thaw/protocol/service-host'
import { ThawError, type Log } from '../system/index.js'

/** Two lengths. */
const HEADER = 8
/** Most bytes of one frame: results and arguments are held in memory. */
export const LARGEST = 256 * 1024 * 1024
/** How long a new connection may take to say whose it is. Milliseconds. */
const HELLO_TIMEOUT = 10_000

export type Frame = (message: unknown, body: Buffer) => void

/** One connection. What arrives is handed on in order; `null`: it has ended. */
export class Line {
  readonly #socket: Socket
  onFrame: Frame = () => {}
  onEnd: () => void = () => {}
  #have: Buffer[] = []
  #size = 0
  #ended = false

  constructor(socket: Socket, log: Log) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#take(chunk)
      } catch (error) {
        // What it says later cannot be trusted; the process behind it is replaced.
        const { code } = ThawError.from(error)
        log.error('What a process of a service said could not be taken; it is cut off.', { code, error })
        socket.destroy()
      }
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#ended = true
      this.onEnd()
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  send(message: unknown, body: Uint8Array = NOTHING): void {
    const text = Buffer.from(JSON.stringify(message))
    const frame = Buffer.allocUnsafe(HEADER + text.length + body.length)
    frame.writeUInt32BE(text.length, 0)
    frame.writeUInt32BE(body.length, 4)
    frame.set(text, HEADER)
    frame.set(body, HEADER + text.length)
    if (!this.#ended) this.#socket.write(frame)
  }

  /** Nothing more is read until `resume`: who prints has to wait. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#have.push(chunk)
    this.#size += chunk.length
    while (this.#size >= HEADER) {
      const first = this.#have[0] as Buffer
      const head = first.length >= HEADER ? first : this.#whole()
      const text = head.readUInt32BE(0)
      const length = HEADER + text + head.readUInt32BE(4)
      if (length > LARGEST) throw new RangeError(`a frame of ${length} bytes`)
      if (this.#size < length) return
      const all = this.#whole()
      this.#size -= length
      this.#have = this.#size === 0 ? [] : [all.subarray(length)]
      this.onFrame(
        JSON.parse(all.toString('utf8', HEADER, HEADER + text)),
        all.subarray(HEADER + text, length),
      )
    }
  }

  #whole(): Buffer {
    if (this.#have.length > 1) this.#have = [Buffer.concat(this.#have)]
    return this.#have[0] as Buffer
  }
}

const NOTHING = new Uint8Array(0)

/** Where the processes of one service report. */
export class LineServer implements AsyncDisposable {
  readonly #server: Server
  readonly #path: string
  readonly #lines = new Set<Line>()
  readonly #log: Log
  #hear: ((hello: HostHello, line: Line) => void) | null = null
  readonly #early: [HostHello, Line][] = []

  private constructor(path: string, log: Log) {
    this.#path = path
    this.#log = log
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** Listens on a path in a private directory. */
  static async listen(path: string, log: Log): Promise<LineServer> {
    // Of a daemon that was killed: only the holder of the lock gets here.
    rmSync(path, { force: true })
    const lines = new LineServer(path, log)
    await lines.open()
    return lines
  }

  /** Hands on who comes, and who has come already. */
  hear(onHello: (hello: HostHello, line: Line) => void): void {
    this.#hear = onHello
    for (const [hello, line] of this.#early.splice(0)) onHello(hello, line)
  }

  /** Who comes is let in. */
  async open(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#path, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
  }

  /** Nobody more is let in; who is there stays. */
  shut(): void {
    this.#server.close()
    rmSync(this.#path, { force: true })
  }

  #accept(socket: Socket): void {
    const line = new Line(socket, this.#log)
    this.#lines.add(line)
    const timer = setTimeout(() => line.close(), HELLO_TIMEOUT)
    socket.once('close', () => this.#lines.delete(line))
    line.onFrame = (message) => {
      clearTimeout(timer)
      const hello = HostHello.safeParse(message)
      if (hello.success) {
        if (this.#hear === null) this.#early.push([hello.data, line])
        else this.#hear(hello.data, line)
        return
      }
      this.#log.error('A process of a service did not say who it is.', { error: hello.error })
      line.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const line of this.#lines) line.close()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}
