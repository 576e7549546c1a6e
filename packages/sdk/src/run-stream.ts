import type { ServerControl } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { controlFrame, FRAME, frameHeader, FrameReader, readNumbered } from '@thaw/protocol/frames'
import { connect, type Socket } from 'node:net'

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
 * A run's (or an attached branch's) stream over the daemon's unix socket.
 *
 * Loaded by the command line before anything else: only node:net, and no schema library.
 */
export class RunStream {
  readonly done: Promise<StreamEnd>
  readonly #socket: Socket
  readonly #handlers: StreamHandlers
  readonly #reader = new FrameReader()
  readonly #queue: Piece[] = []
  #draining = false
  #settle!: { resolve: (end: StreamEnd) => void; reject: (error: unknown) => void }

  private constructor(socket: Socket, handlers: StreamHandlers) {
    this.#socket = socket
    this.#handlers = handlers
    this.done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
    // Whoever does not look at `done` must not be ended by it.
    this.done.catch(() => {})
  }

  /**
   * Connects, upgrades and sends the first message.
   *
   * @param path `/v1/runs/stream` with a RunRequest, `/v1/checkpoints/ID/stream` with a ResumeRequest, or
   *   `/v1/branches/ID/stream` with `{}`
   * @param build when given, a daemon of another build refuses with VERSION_MISMATCH
   * @throws ThawError DAEMON_UNREACHABLE, or what the daemon answers
   */
  static async open(
    socketPath: string,
    path: string,
    first: unknown,
    handlers: StreamHandlers,
    build?: string,
  ): Promise<RunStream> {
    const socket = connect(socketPath)
    try {
      const head = `POST ${path} HTTP/1.1\r\nHost: thaw\r\nConnection: Upgrade\r\nUpgrade: thaw-stream\r\n`
      socket.write(`${head}${build === undefined ? '' : `thaw-build: ${build}\r\n`}\r\n`)
      const rest = await readAnswer(socket)
      const stream = new RunStream(socket, handlers)
      stream.#serve(rest)
      socket.write(controlFrame(first))
      return stream
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  signal(name: string): void {
    this.#control({ t: 'signal', name })
  }

  resize(rows: number, cols: number): void {
    this.#control({ t: 'resize', rows, cols })
  }

  /** Only as many bytes as onStdinWanted has announced. */
  stdin(chunk: Uint8Array): void {
    if (!this.#socket.writable) return
    this.#socket.write(frameHeader(FRAME.stdin, chunk.length))
    this.#socket.write(chunk)
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
    this.#socket.destroy()
  }

  #control(message: unknown): void {
    if (this.#socket.writable) this.#socket.write(controlFrame(message))
  }

  #serve(rest: Uint8Array): void {
    const onData = (chunk: Uint8Array) => {
      try {
        this.#reader.push(chunk, (type, payload) => this.#queue.push([type, payload]))
      } catch (error) {
        this.#settle.reject(ThawError.from(error))
        this.#socket.destroy()
        return
      }
      if (!this.#draining) void this.#drain()
    }
    this.#socket.on('data', onData)
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => void this.#lost())
    if (rest.length > 0) onData(rest)
    this.#socket.resume()
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
          this.#socket.pause()
          await wait
        }
      }
    } catch (error) {
      this.#settle.reject(error)
      this.#socket.destroy()
    }
    this.#draining = false
    this.#socket.resume()
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
      this.#socket.end()
    }
    return undefined
  }
}

/** Reads the answer to the upgrade. Returns what came after it. */
function readAnswer(socket: Socket): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let text = Buffer.alloc(0)
    const stop = () => {
      socket.off('data', onData)
      socket.off('error', onError)
      socket.off('close', onClose)
    }
    const onError = (error: NodeJS.ErrnoException) => {
      stop()
      const why = `No daemon answers (${error.code ?? error.message}).`
      reject(new ThawError('DAEMON_UNREACHABLE', why, { cause: error, details: { errno: error.code } }))
    }
    const onClose = () => {
      stop()
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) {
        reject(
          new ThawError('DAEMON_UNREACHABLE', 'The daemon hung up before it answered.', {
            details: { errno: 'EOF' },
          }),
        )
        return
      }
      let body: unknown
      try {
        body = JSON.parse(text.subarray(end + 4).toString('utf8'))
      } catch {
        body = text.toString('utf8')
      }
      reject(ThawError.fromBody(body))
    }
    const onData = (chunk: Buffer) => {
      text = Buffer.concat([text, chunk])
      const end = text.indexOf('\r\n\r\n')
      if (end < 0 || !text.subarray(0, 13).toString('latin1').startsWith('HTTP/1.1 101 ')) return
      socket.pause()
      stop()
      resolve(text.subarray(end + 4))
    }
    socket.on('data', onData)
    socket.on('error', onError)
    socket.on('close', onClose)
  })
}
