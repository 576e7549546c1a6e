import {
  AttachRequest,
  ClientControl,
  ResumeRequest,
  RunRequest,
  type BranchNode,
  type RunReport,
  type RunSettings,
  type ServerControl,
} from '@thaw/protocol'
import {
  controlFrame,
  FRAME,
  FRAME_LIMIT,
  frameHeader,
  FrameReader,
  numberedHeader,
} from '@thaw/protocol/frames'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ThawError, type Log } from '../system/index.js'
import { BUILD, VERSION } from '../version.js'
import type { ApiContext } from './context.js'
import { proxyUpgrade } from './app-proxy.js'
import { branchOf, resolveId } from './ids.js'
import { debugStream, execIn } from './debug-stream.js'
import { execStream } from './instance-stream.js'
import { resumeCheckpoint, startCommand } from './launching.js'
import type { Handle, Sink } from './ports.js'
import { summaryLine } from './summary.js'
import { parse } from './parse.js'
import { acceptWebSocket } from './websocket.js'

/** Bytes of stdin that may be on their way at a time: what a FIFO holds. */
const STDIN_WINDOW = 64 * 1024
const NOTHING = new Uint8Array()
/** Milliseconds of silence after which the kernel asks whether the other side of a connection is still there. */
const KEEP_ALIVE = 30_000
/** Bytes of output sent in one frame at most. */
const PIECE = FRAME_LIMIT / 2
/** Milliseconds between the hang-up that a program gets when its client is gone, and its end. */
const HANGUP_GRACE = 2000

/** What begins with a stream's first message. */
export type Begin = (first: unknown, stream: Stream, context: ApiContext) => Promise<Handle<unknown>>

/**
 * Serves `Upgrade: thaw-stream` and WebSockets on /v1/runs/stream, and below the ids of checkpoints, branches and
 * instances: the same frames over both. What is asked of apps is theirs.
 *
 * @param others what is served on other paths
 */
export function acceptStreams(server: Server, context: ApiContext, others: Record<string, Begin>): void {
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // Without a listener an ECONNRESET of a client that went away would end the daemon.
    socket.on('error', (error) => context.log.debug('stream', { error }))
    try {
      context.access.check(request, 'run')
      if (proxyUpgrade(context, request, socket, head, (error) => refuse(socket, error))) return
      const serve = route(request, context, others)
      if (upgradeOf(request) === 'websocket') {
        return acceptWebSocket(request, socket, head, (bytes) => serve(new Stream(bytes, context.log)))
      }
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thaw-stream\r\nthaw-version: ${VERSION}\r\n\r\n`,
      )
      socket.setNoDelay(true)
      socket.setTimeout(0)
      socket.setKeepAlive(true, KEEP_ALIVE)
      if (head.length > 0) socket.unshift(head)
      serve(new Stream(socket, context.log))
    } catch (error) {
      refuse(socket, ThawError.from(error))
    }
  })
}

function route(
  request: IncomingMessage,
  context: ApiContext,
  others: Record<string, Begin>,
): (stream: Stream) => void {
  if (!['thaw-stream', 'websocket'].includes(upgradeOf(request))) {
    throw new ThawError('INVALID_REQUEST', `No such upgrade: ${request.headers.upgrade}.`)
  }
  if (context.stopping()) throw new ThawError('DAEMON_STOPPING', 'The daemon is shutting down.')
  checkBuild(request.headers['thaw-build'], context)
  const path = request.url ?? ''
  if (path === '/v1/runs/stream') return (stream) => stream.serve((first) => startRun(first, stream, context))
  const other = others[path]
  if (other !== undefined) return (stream) => stream.serve(async (first) => other(first, stream, context))
  const branch = /^\/v1\/branches\/([^/?]+)\/stream$/.exec(path)?.[1]
  if (branch !== undefined) {
    const id = branchOf(context.journal, resolveId(context.journal, decoded(branch), ['run', 'branch']))
    return (stream) => stream.serve((first) => attach(id, first, stream, context))
  }
  const checkpoint = /^\/v1\/checkpoints\/([^/?]+)\/stream$/.exec(path)?.[1]
  if (checkpoint !== undefined) {
    const id = resolveId(context.journal, decoded(checkpoint), ['checkpoint'])
    return (stream) => stream.serve((first) => resume(id, first, stream, context))
  }
  const instance = /^\/v1\/instances\/([^/?]+)\/exec\/stream$/.exec(path)?.[1]
  if (instance !== undefined) {
    const { instances } = context.products
    const { id } = instances.get(decoded(instance))
    const start = instances.exec.bind(instances, id)
    return (stream) => stream.serve((first) => execStream(start, first, stream, context))
  }
  const [, service, what] = /^\/v1\/services\/([^/?]+)\/(exec|debug)\/stream$/.exec(path) ?? []
  if (service !== undefined) {
    const { services } = context
    if (what === 'debug') {
      const found = services.get(decoded(service))
      return (stream) => stream.serve((first) => debugStream(found, first, stream))
    }
    const found = services.find(decoded(service))
    return (stream) => stream.serve((first) => execStream(execIn(found), first, stream, context))
  }
  throw new ThawError('INVALID_REQUEST', `There is no stream ${path}.`)
}

/** @param build what the caller is of, if he says so @throws ThawError VERSION_MISMATCH */
export function checkBuild(build: string | string[] | undefined, context: ApiContext): void {
  if (build === undefined || build === BUILD) return
  throw new ThawError('VERSION_MISMATCH', `The daemon is thaw ${VERSION} of another build.`, {
    details: { pid: process.pid, live: context.runs.live() + context.products.instances.live() },
  })
}

const upgradeOf = (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() ?? ''

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new ThawError('INVALID_REQUEST', `${text} is no part of a path.`)
  }
}

function refuse(socket: Socket, error: ThawError): void {
  const body = JSON.stringify(error.toBody())
  socket.end(
    `HTTP/1.1 ${error.status} ${error.code}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

async function startRun(first: unknown, stream: Stream, context: ApiContext): Promise<Handle<RunReport>> {
  const request = parse(RunRequest, first)
  const sink = (settings: RunSettings) => stream.sink(told(stream, settings, context))
  const handle = await startCommand(request, sink, context, { signal: stream.gone, log: context.log })
  return follow(handle, stream, request.stdin, toldOf(request.command))
}

async function resume(
  id: string,
  first: unknown,
  stream: Stream,
  context: ApiContext,
): Promise<Handle<RunReport>> {
  const request = parse(ResumeRequest, first)
  const sinks = (settings: RunSettings) => {
    const started = told(stream, settings, context)
    if (request.count === 1) return [stream.sink(started)]
    return Array.from({ length: request.count }, (_, i) => stream.numberedSink(i + 1, started))
  }
  const scope = { signal: stream.gone, log: context.log }
  const { handle, command } = await resumeCheckpoint(id, request, sinks, context, scope)
  return follow(handle, stream, request.stdin, toldOf(command))
}

function told(stream: Stream, { quiet }: RunSettings, context: ApiContext): Sink['started'] {
  const notices = context.takeNotices()
  return (ids) => stream.send({ t: 'started', ...ids, quiet, notices })
}

function toldOf(command: readonly string[]) {
  return (report: RunReport): ServerControl => ({ t: 'done', report, summary: summaryLine(report, command) })
}

/** @param told the last message */
export function follow<Report>(
  handle: Handle<Report>,
  stream: Stream,
  stdin: RunRequest['stdin'],
  told: (report: Report) => ServerControl,
): Handle<Report> {
  stream.onGone(() => hangUp(handle))
  if (stdin === 'stream') stream.grant(STDIN_WINDOW)
  void handle.done.then(
    (report) => stream.finish(told(report)),
    (error: unknown) => stream.fail(error),
  )
  return handle
}

/** The client is gone: the program is told as a closed terminal tells, and ended when that does not help. */
function hangUp(handle: Handle<unknown>): void {
  let ended = false
  const timer = setTimeout(() => {
    if (!ended) void handle.signal('SIGKILL').catch(() => {})
  }, HANGUP_GRACE)
  const over = () => {
    ended = true
    clearTimeout(timer)
  }
  handle.done.then(over, over)
  handle.signal('SIGHUP').catch(() => {})
}

async function attach(branch: string, first: unknown, stream: Stream, context: ApiContext): Promise<Handle> {
  const request = AttachRequest.safeParse(first)
  if (!request.success) throw new ThawError('INVALID_REQUEST', 'The request to attach does not fit.')
  const sink = stream.sink((ids) => stream.send({ t: 'started', ...ids, quiet: true, notices: [] }))
  const handle = await context.runs.attach(branch, request.data.from, sink)
  const ended = (): BranchNode => {
    const run = context.journal.getBranch(branch)?.run
    const found =
      run === undefined ? undefined : context.runs.tree(run).branches.find((one) => one.id === branch)
    if (found === undefined) throw new ThawError('RUN_NOT_FOUND', `The branch ${branch} is gone.`)
    return found
  }
  void handle.done
    .then(() => stream.finish({ t: 'ended', branch: ended() }))
    .catch((error: unknown) => stream.fail(error))
  return handle
}

/** One connection after its upgrade: frames in, frames out, backpressure both ways. */
export class Stream {
  readonly #socket: Duplex
  readonly #log: Log
  readonly #gone = new AbortController()
  readonly #closed = new Set<number>()
  readonly #waiting = new Set<() => void>()
  #handle: Handle<unknown> | undefined
  #begun = false
  #over = false
  /** Frames for the program are handed over in order; controls overtake stdin that it does not read. */
  #stdin: Promise<void> = Promise.resolve()
  #early: ClientControl[] = []

  constructor(socket: Duplex, log: Log) {
    this.#socket = socket
    this.#log = log
    // Without a listener a client that went away in the middle would end the daemon.
    socket.on('error', (error) => log.debug('stream', { error }))
  }

  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** Runs `begin` with the client's first control message, then serves until the connection ends. */
  serve(begin: (first: unknown) => Promise<Handle<unknown>>): void {
    const reader = new FrameReader()
    const onData = (chunk: Uint8Array) => {
      try {
        reader.push(chunk, (type, payload) => this.#receive(type, payload, begin))
      } catch (error) {
        this.fail(new ThawError('INVALID_REQUEST', `${ThawError.from(error).message}`, { cause: error }))
      }
    }
    this.#socket.on('data', onData)
    this.#socket.on('drain', () => this.#wake())
    // The server's sockets stay open for writing when the client has left; a client leaves only for good.
    this.#socket.on('end', () => this.#socket.destroy())
    this.#socket.on('close', () => {
      if (!this.#over) this.#gone.abort()
      this.#over = true
      this.#wake()
    })
  }

  /** When the client goes away before the end. */
  onGone(work: () => void): void {
    if (this.#gone.signal.aborted) work()
    else this.#gone.signal.addEventListener('abort', work, { once: true })
  }

  send(message: ServerControl): void {
    if (!this.#over) this.#socket.write(controlFrame(message))
  }

  grant(bytes: number): void {
    this.send({ t: 'stdin', bytes })
  }

  finish(message: ServerControl): void {
    if (this.#over) return
    this.#over = true
    this.#socket.end(controlFrame(message))
    this.#wake()
  }

  fail(error: unknown): void {
    const known = ThawError.from(error)
    if (known.code === 'INTERNAL') this.#log.error('stream failed', { error })
    this.finish({ t: 'error', error: known.toBody() })
  }

  sink(started: Sink['started']): Sink {
    return {
      started,
      stdout: (chunk) => this.#output(FRAME.stdout, chunk),
      stderr: (chunk) => this.#output(FRAME.stderr, chunk),
    }
  }

  /** For one of several branches: a reader that has gone is gone for all of them. */
  numberedSink(number: number, started: Sink['started']): Sink {
    const output = (name: 'stdout' | 'stderr') => (chunk: Uint8Array) =>
      this.#output(FRAME[name], chunk, numberedHeader(number, name))
    return {
      started: number === 1 ? started : () => {},
      stdout: output('stdout'),
      stderr: output('stderr'),
    }
  }

  async #output(type: number, chunk: Uint8Array, prefix: Uint8Array = NOTHING): Promise<void> {
    const sent = prefix.length === 0 ? type : FRAME.numbered
    for (let at = 0; at < chunk.length; at += PIECE) {
      if (this.#closed.has(type)) throw Object.assign(new Error('the reader has gone'), { code: 'EPIPE' })
      // Nobody listens any more: the program is on its way out, and must not be held back.
      if (this.#over) return
      const piece = chunk.subarray(at, at + PIECE)
      this.#socket.cork()
      this.#socket.write(frameHeader(sent, prefix.length + piece.length))
      if (prefix.length > 0) this.#socket.write(prefix)
      this.#socket.write(piece)
      this.#socket.uncork()
      while (this.#socket.writableNeedDrain && !this.#over && !this.#closed.has(type)) {
        await new Promise<void>((resolve) => this.#waiting.add(resolve))
      }
    }
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const resolve of waiting) resolve()
  }

  #receive(type: number, payload: Uint8Array, begin: (first: unknown) => Promise<Handle<unknown>>): void {
    if (type === FRAME.stdin) return this.#takeStdin(payload.slice())
    if (type !== FRAME.control) throw new RangeError(`frame type ${type} from a client`)
    const message: unknown = JSON.parse(new TextDecoder().decode(payload))
    if (!this.#begun) {
      this.#begun = true
      begin(message).then(
        (handle) => {
          this.#handle = handle
          for (const control of this.#early.splice(0)) this.#obey(control)
        },
        (error: unknown) => this.fail(error),
      )
      return
    }
    const control = ClientControl.parse(message)
    if (control.t === 'closed') {
      this.#closed.add(control.stream === 'stdout' ? FRAME.stdout : FRAME.stderr)
      this.#wake()
    } else if (this.#handle === undefined) this.#early.push(control)
    else this.#obey(control)
  }

  #takeStdin(chunk: Uint8Array): void {
    const handle = this.#handle
    if (handle === undefined) throw new RangeError('stdin before it was asked for')
    this.#stdin = this.#stdin.then(async () => {
      try {
        await handle.stdin(chunk)
        this.grant(chunk.length)
      } catch (error) {
        // The program has closed its stdin or ended: as with a pipe, the rest is never asked for.
        this.#log.debug('stdin not taken', { error })
      }
    })
  }

  #obey(control: ClientControl): void {
    const handle = this.#handle as Handle<unknown>
    const logged = (error: unknown) => this.#log.debug('control not done', { control, error })
    switch (control.t) {
      case 'signal':
        return void handle.signal(control.name).catch(logged)
      case 'resize':
        return void handle.resize(control.rows, control.cols).catch(logged)
      case 'answer':
        return handle.answer?.(control)
      case 'stdin-end':
        this.#stdin = this.#stdin.then(() => handle.stdinEnd())
    }
  }
}
