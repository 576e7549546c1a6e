/** The stream between the daemon and a machine's guest program, over connections that end with every snapshot. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { openScope, ThawError } from '../../../system/index.js'
import { awaitGuest } from './guest-channel.js'

/** Milliseconds that a guest has to end its side. */
const FAREWELL = 1000

/** What is written while there is no connection waits for one. */
export class GuestStream extends Duplex {
  readonly #socket: string
  readonly #port: number
  #stream: Socket | null = null
  #waiting: (() => void) | null = null
  #trying: AbortController | null = null

  /** @param socket where the guest's ports are reached */
  constructor(socket: string, port: number) {
    super()
    this.#socket = socket
    this.#port = port
  }

  /** Connects as soon as somebody in the guest listens. Prerequisite: the machine runs, or will. */
  connect(): void {
    if (this.#trying !== null || this.destroyed) return
    const trying = new AbortController()
    this.#trying = trying
    awaitGuest(this.#socket, this.#port, openScope(undefined, trying.signal)).then(
      (stream) => (trying.signal.aborted ? stream.destroy() : this.#adopt(stream)),
      (error: Error) => {
        if (!trying.signal.aborted) this.destroy(error)
      },
    )
  }

  /**
   * Ends the connection, and waits until the guest's kernel knows: it is not told of what ends while the machine stands
   * still. Prerequisites: the machine runs; the guest program is quiet, since what is under way would be lost.
   */
  async disconnect(): Promise<void> {
    const stream = this.#release()
    if (stream === null) return
    const closed = new Promise<void>((resolve) => stream.once('close', resolve))
    stream.resume().end()
    const late = setTimeout(() => stream.destroy(), FAREWELL)
    await closed
    clearTimeout(late)
  }

  override _read(): void {
    this.#stream?.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream === null) this.#waiting = () => this._write(bytes, _encoding, done)
    else this.#stream.write(bytes, (error) => done(this.#stream === null ? null : error))
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#release()?.destroy()
    done(error)
  }

  #release(): Socket | null {
    this.#trying?.abort()
    this.#trying = null
    const stream = this.#stream
    this.#stream = null
    return stream
  }

  #adopt(stream: Socket): void {
    this.#stream = stream
    stream.on('data', (bytes: Buffer) => {
      if (!this.push(bytes)) stream.pause()
    })
    stream.once('close', () => {
      if (this.#stream !== stream) return
      this.destroy(new ThawError('ENGINE_FAILED', 'The connection to the machine broke off.'))
    })
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.()
    stream.resume()
  }
}
