import type { ServerControl } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { controlFrame, FRAME, frameHeader, FrameReader, readNumbered } from '@thaw/protocol/frames'

/** Bytes both ways: a socket, or a WebSocket made to look like one. */
export interface Connection {
  readonly writable: boolean
  write(bytes: Uint8Array): unknown
  /** What arrives waits outside, as far as the carrier can make it wait. */
  pause(): unknown
  resume(): unknown
  end(): unknown
  destroy(): unknown
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown
  on(event: 'close' | 'error', listener: () => void): unknown
}

/** What a stream tells its owner. A handler that returns a promise holds the stream back until it resolves. */
export interface StreamHandlers {
  onStarted?(message: Extract<ServerControl, { t: 'started' }>): void
  onStdout?(chunk: Uint8Array): void | Promise<void>
  onStderr?(chunk: Uint8Array): void | Promise<void>
  /** Output of one of several branches, counted from 1. */
  onNumbered?(number: number, stream: 'stdout' | 'stderr', chunk: Uint8Array): void | Promise<void>
  /** So many more bytes of stdin may be sent. */
  onStdinWanted?(bytes: number): void
  /** Of a repair: a line of thaw's own words. */
  onNote?(message: Extract<ServerControl, { t: 'note' }>): void
  /** Of a repair whose repairer is this caller: answer with `answer`. */
  onQuestion?(message: Extract<ServerControl, { t: 'question' }>): void
}

export type StreamEnd = Extract<ServerControl, { t: 'done' | 'ended' | 'exited' | 'repaired' }>

type Piece = [type: number, payload: Uint8Array]

/**
 * One stream of the daemon: a run, a branch that is followed, a command in an instance.
 *
 * Part of what the command line loads before anything else: no schema library, and nothing of Node.
 */
export class FrameStream {
  readonly done: Promise<StreamEnd>
  readonly #connection: Connection
  readonly #handlers: StreamHandlers
  readonly #reader = new FrameReader()
  readonly #queue: Piece[] = []
  #draining = false
  #settle!: { resolve: (end: StreamEnd) => void; reject: (error: unknown) => void }

  /** @param first the first message, which says what is to be begun */
  constructor(connection: Connection, first: unknown, handlers: StreamHandlers) {
    this.#connection = connection
    this.#handlers = handlers
    this.done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
    // Whoever does not look at `done` must not be ended by it.
    this.done.catch(() => {})
    this.#serve()
    connection.write(controlFrame(first))
  }

  signal(name: string): void {
    this.#control({ t: 'signal', name })
  }

  resize(rows: number, cols: number): void {
    this.#control({ t: 'resize', rows, cols })
  }

  /** Only as many bytes as onStdinWanted has announced. */
  stdin(chunk: Uint8Array): void {
    if (!this.#connection.writable) return
    this.#connection.write(frameHeader(FRAME.stdin, chunk.length))
    this.#connection.write(chunk)
  }

  stdinEnd(): void {
    this.#control({ t: 'stdin-end' })
  }

  /** Whoever read this stream has gone: the program is to see a broken pipe. */
  closed(stream: 'stdout' | 'stderr'): void {
    this.#control({ t: 'closed', stream })
  }

  /** To a question of a repair: a unified diff, or null where the files were edited in its directory; or that there is none. */
  answer(given: { diff: string | null } | { giveUp: true }): void {
    const nothing = 'giveUp' in given
    this.#control({ t: 'answer', diff: nothing ? null : given.diff, give_up: nothing })
  }

  /** Leaves at once. A run that is not done is stopped by the daemon; an attached one goes on. */
  destroy(): void {
    this.#connection.destroy()
  }

  #control(message: unknown): void {
    if (this.#connection.writable) this.#connection.write(controlFrame(message))
  }

  #serve(): void {
    const onData = (chunk: Uint8Array) => {
      try {
        this.#reader.push(chunk, (type, payload) => this.#queue.push([type, payload]))
      } catch (error) {
        this.#settle.reject(ThawError.from(error))
        this.#connection.destroy()
        return
      }
      if (!this.#draining) void this.#drain()
    }
    this.#connection.on('data', onData)
    this.#connection.on('error', () => {})
    this.#connection.on('close', () => void this.#lost())
    this.#connection.resume()
  }

  async #lost(): Promise<void> {
    // What has arrived is still handed on, and may hold the end.
    while (this.#draining) await new Promise((resolve) => setTimeout(resolve, 5))
    this.#settle.reject(new ThawError('DAEMON_LOST', 'The daemon went away before the command had ended.'))
  }

  async #drain(): Promise<void> {
    this.#draining = true
    try {
      for (let piece = this.#queue.shift(); piece !== undefined; piece = this.#queue.shift()) {
        const wait = this.#dispatch(piece)
        if (wait !== undefined) {
          this.#connection.pause()
          await wait
        }
      }
    } catch (error) {
      this.#settle.reject(error)
      this.#connection.destroy()
    }
    this.#draining = false
    this.#connection.resume()
  }

  #dispatch([type, payload]: Piece): Promise<void> | undefined {
    if (type === FRAME.stdout) return this.#handlers.onStdout?.(payload) as Promise<void> | undefined
    if (type === FRAME.stderr) return this.#handlers.onStderr?.(payload) as Promise<void> | undefined
    if (type === FRAME.numbered) {
      return this.#handlers.onNumbered?.(...readNumbered(payload)) as Promise<void> | undefined
    }
    const message = JSON.parse(new TextDecoder().decode(payload)) as ServerControl
    if (message.t === 'started') this.#handlers.onStarted?.(message)
    else if (message.t === 'stdin') this.#handlers.onStdinWanted?.(message.bytes)
    else if (message.t === 'note') this.#handlers.onNote?.(message)
    else if (message.t === 'question') this.#handlers.onQuestion?.(message)
    else {
      if (message.t === 'error') this.#settle.reject(ThawError.fromBody(message.error))
      else this.#settle.resolve(message)
      this.#connection.end()
    }
    return undefined
  }
}
