/** The guest program of one machine, as seen from here. One connection carries everything. */
import { randomBytes } from 'node:crypto'
import { Duplex } from 'node:stream'
import { ThawError, within, type Scope } from '../../../system/index.js'
import type { OutputListener, TerminalSize } from '../../engine.js'
import { decodeWords, encodeFrame, encodeWords, number, splitFrames, type Frame } from './wire.js'

/** The guest program's, too: who would change it changes both. */
export const PROTOCOL = '1'
/** Bytes that either side sends before it is told that they were taken. */
const WINDOW = 256 * 1024
const PIECE = 32 * 1024
const ENTROPY = 256
const SIGKILL = 9

export interface GuestIdentity {
  hostname: string
  network: { address: string; gateway: string; names: string } | null
}

export interface GuestProgramSpec {
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  user: { uid: number; gid: number } | null
  terminal: TerminalSize | null
  /** One pipe for stdout and stderr. */
  joined: boolean
}

export interface GuestExit {
  code: number | null
  /** Its number. */
  signal: number | null
}

/** What the guest could not do, with its errno. */
export class GuestRefused extends Error {
  override readonly name = 'GuestRefused'
  readonly what: string
  readonly errno: number

  constructor(what: string, errno: number) {
    super(`${what} failed in the machine (error ${errno})`)
    this.what = what
    this.errno = errno
  }
}

interface Line {
  answered?: (frame: Frame) => void
  output?: (stream: 'stdout' | 'stderr', bytes: Buffer) => void
  taken?: (bytes: number) => void
  ended?: (exit: GuestExit) => void
}

export class Guest {
  readonly #channel: Duplex
  readonly #lines = new Map<number, Line>()
  #last = 0
  #lost: ThawError | null = null
  #greeted!: () => void
  readonly #greeting = new Promise<void>((resolve) => (this.#greeted = resolve))
  /** Never resolves; rejects when the connection is over. */
  readonly #end: Promise<never>
  #fail!: (error: ThawError) => void

  /**
   * @param channel to the guest program, at the beginning of a frame in both directions
   * @param lines those up to this number may be in use, from before the machine was copied
   */
  constructor(channel: Duplex, lines = 0) {
    this.#last = lines
    this.#channel = channel
    this.#end = new Promise((_, reject) => (this.#fail = reject))
    this.#end.catch(() => {})
    channel.on(
      'data',
      splitter(
        (frame) => this.#hear(frame),
        (error) => this.#lose(error.message),
      ),
    )
    channel.once('close', () => this.#lose('The machine has ended.'))
    channel.on('error', () => {})
  }

  /** Whether nothing comes from the machine any more. */
  get lost(): boolean {
    return this.#lost !== null
  }

  /** The highest number that was given to a line. */
  get lines(): number {
    return this.#last
  }

  /** Resolves when a machine has booted; one that was restored has done so long ago. */
  async booted(scope: Scope): Promise<void> {
    await within(scope, 'waiting for the machine to boot', Promise.race([this.#greeting, this.#end]))
  }

  /**
   * Gives the machine what it must not share with another that has the same memory, and lets its programs go on: time,
   * random pool, name, address.
   *
   * @returns release of its kernel
   * @throws GuestRefused; ThawError ENGINE_FAILED, TIMEOUT
   */
  async renew({ hostname, network }: GuestIdentity, scope: Scope): Promise<string> {
    const now = Date.now()
    const time = [String(Math.floor(now / 1000)), String((now % 1000) * 1_000_000)]
    const address = network === null ? [] : [network.address, network.gateway, network.names]
    const words = encodeWords([...time, hostname, ...address, ''])
    const frame = await this.#ask('R', Buffer.concat([words, randomBytes(ENTROPY)]), scope)
    const [protocol, release = ''] = decodeWords(frame.body)
    if (protocol === PROTOCOL) return release
    throw new ThawError('IMAGE_MISMATCH', `The machine speaks protocol ${protocol}; this thaw ${PROTOCOL}.`)
  }

  /** Its programs stand still, and all that they had printed has been handed over. */
  async hold(scope: Scope): Promise<void> {
    await this.#ask('Q', Buffer.alloc(0), scope)
  }

  async goOn(scope: Scope): Promise<void> {
    await this.#ask('G', Buffer.alloc(0), scope)
  }

  /** In a copy: the guest program works for us, while all others stand still until they are renewed. */
  async serve(scope: Scope): Promise<void> {
    await this.#ask('P', Buffer.alloc(0), scope)
  }

  /** @throws GuestRefused where it cannot be started */
  async start(spec: GuestProgramSpec, listener: OutputListener, scope: Scope): Promise<GuestProgram> {
    return await this.#program('S', spec, listener, scope)
  }

  /** What the guest program does itself, in a process of its own: its exit code is an errno. @throws GuestRefused */
  async builtin(argv: readonly string[], listener: OutputListener, scope: Scope): Promise<GuestProgram> {
    return await this.#program('B', builtin(argv), listener, scope)
  }

  /** One that was started before the machine was copied, by another daemon perhaps. */
  adopt(line: number, pid: number, listener: OutputListener): GuestProgram {
    return this.#attach(line, pid, listener)
  }

  /** A connection to a port of the machine's loopback. @throws GuestRefused */
  async connect(port: number, scope: Scope): Promise<Duplex> {
    const line = ++this.#last
    const stream = new Connection((type, body) => this.#send(type, line, body))
    await this.#ask('C', number(port), scope, line)
    this.#lines.set(line, stream.line)
    stream.once('close', () => this.#send('D', line))
    return stream
  }

  /** A connection to a unix socket of the machine. One that nobody listens on breaks off with a GuestRefused. */
  async dial(path: string, scope: Scope): Promise<Duplex> {
    const line = ++this.#last
    const stream = new Connection((type, body) => this.#send(type, line, body))
    this.#lines.set(line, stream.line)
    // Whoever uses it is told; that nobody does yet is no reason to end.
    stream.on('error', () => {})
    stream.once('close', () => this.#send('K', line, number(SIGKILL)))
    await this.#ask('B', encodeProgram(builtin(['dial', path])), scope, line)
    return stream
  }

  /** @throws GuestRefused */
  async readFile(
    path: string,
    scope: Scope,
  ): Promise<{ content: AsyncIterable<Buffer>; size: number; mode: number }> {
    const chunks: Buffer[] = []
    const program = await this.builtin(['get', path], collector(chunks), scope)
    const { code } = await within(scope, `reading ${path}`, program.exited)
    if (code !== 0) throw new GuestRefused('get', code ?? 0)
    const all = Buffer.concat(chunks)
    const end = all.indexOf('\n')
    const [size = '0', mode = '644'] = all.toString('latin1', 0, end).split(' ')
    const content = (async function* () {
      yield all.subarray(end + 1)
    })()
    return { content, size: Number(size), mode: parseInt(mode, 8) }
  }

  /** Replaces a file in one step. Directories on the way are made. @throws GuestRefused */
  async writeFile(
    path: string,
    content: AsyncIterable<Uint8Array>,
    mode: number,
    scope: Scope,
  ): Promise<void> {
    const program = await this.builtin(['put', path, mode.toString(8)], collector([]), scope)
    try {
      for await (const chunk of content) await program.writeStdin(chunk)
    } catch (error) {
      program.signal(9)
      throw error
    }
    program.endStdin()
    const { code } = await within(scope, `writing ${path}`, program.exited)
    if (code !== 0) throw new GuestRefused('put', code ?? 0)
  }

  async #program(
    type: 'S' | 'B',
    spec: GuestProgramSpec,
    listener: OutputListener,
    scope: Scope,
  ): Promise<GuestProgram> {
    const line = ++this.#last
    // Before it is asked: what it prints may come with the answer.
    let pid = 0
    const program = this.#attach(line, () => pid, listener)
    const frame = await this.#ask(type, encodeProgram(spec), scope, line)
    pid = Number(decodeWords(frame.body)[0])
    return program
  }

  #attach(line: number, pid: number | (() => number), listener: OutputListener): GuestProgram {
    const program = new GuestProgram(line, (type, body) => this.#send(type, line, body), pid, listener)
    this.#lines.set(line, program.line)
    return program
  }

  async #ask(
    type: 'R' | 'P' | 'S' | 'B' | 'C' | 'Q' | 'G',
    body: Uint8Array,
    scope: Scope,
    line = ++this.#last,
  ): Promise<Frame> {
    const known = this.#lines.get(line) ?? {}
    const answer = new Promise<Frame>((resolve) => (known.answered = resolve))
    this.#lines.set(line, known)
    let kept = false
    try {
      this.#send(type, line, body)
      const frame = await within(scope, 'waiting for the machine', Promise.race([answer, this.#end]))
      if (frame.type === 'f') {
        const [what = '', errno] = decodeWords(frame.body)
        throw new GuestRefused(what, Number(errno))
      }
      kept = type === 'S' || type === 'B' || type === 'C'
      return frame
    } finally {
      if (!kept) this.#lines.delete(line)
    }
  }

  #send(type: Parameters<typeof encodeFrame>[0], line: number, body?: Uint8Array): void {
    if (this.#lost === null && this.#channel.writable) this.#channel.write(encodeFrame(type, line, body))
  }

  #hear({ type, line, body }: Frame): void {
    if (type === 'h') return this.#greeted()
    const known = this.#lines.get(line)
    if (type === 'o' || type === 'e') {
      // Of a program that nobody listens to any more: it is not to be held up.
      if (known?.output === undefined) return this.#send('A', line, number(body.length))
      return known.output(type === 'o' ? 'stdout' : 'stderr', Buffer.from(body))
    }
    if (type === 'a') return known?.taken?.(body.readUInt32LE())
    if (type === 'x') {
      this.#lines.delete(line)
      const [code = '-', signal = '-'] = decodeWords(body)
      return known?.ended?.({
        code: code === '-' ? null : Number(code),
        signal: signal === '-' ? null : Number(signal),
      })
    }
    known?.answered?.({ type, line, body: Buffer.from(body) })
  }

  #lose(why: string): void {
    if (this.#lost !== null) return
    this.#lost = new ThawError('ENGINE_FAILED', why)
    this.#fail(this.#lost)
    this.#channel.destroy()
    for (const { ended } of this.#lines.values()) ended?.({ code: null, signal: 9 })
    this.#lines.clear()
  }
}

type Send = (type: 'I' | 'E' | 'A' | 'K' | 'W' | 'D', body?: Uint8Array) => void

/** One program in a machine. */
export class GuestProgram {
  /** In the protocol. */
  readonly number: number
  readonly exited: Promise<GuestExit>
  readonly line: Line
  readonly #send: Send
  readonly #pid: () => number
  #window = WINDOW
  #room: (() => void) | null = null
  #over = false
  /** Printed, and not yet taken by the listener. */
  #held = 0
  #paused = false

  constructor(line: number, send: Send, pid: number | (() => number), listener: OutputListener) {
    this.number = line
    this.#send = send
    this.#pid = typeof pid === 'number' ? () => pid : pid
    let end!: (exit: GuestExit) => void
    this.exited = new Promise((resolve) => (end = resolve))
    this.line = {
      output: (stream, bytes) => {
        this.#held += bytes.length
        if (!listener.output(stream, bytes)) this.#paused = true
        if (!this.#paused) this.#acknowledge()
      },
      taken: (bytes) => {
        this.#window += bytes
        this.#room?.()
      },
      ended: (exit) => {
        this.#over = true
        this.#room?.()
        end(exit)
      },
    }
  }

  /** In the machine. */
  get pid(): number {
    return this.#pid()
  }

  /** Resolves when the bytes are on their way and there is room for more. */
  async writeStdin(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE) {
      while (this.#window <= 0 && !this.#over) await new Promise<void>((resolve) => (this.#room = resolve))
      if (this.#over) return
      const piece = bytes.subarray(at, at + PIECE)
      this.#window -= piece.length
      this.#send('I', piece)
    }
  }

  endStdin(): void {
    this.#send('E')
  }

  resumeOutput(): void {
    this.#paused = false
    this.#acknowledge()
  }

  /** To its process group. */
  signal(signal: number): void {
    this.#send('K', number(signal))
  }

  resize({ rows, cols }: TerminalSize): void {
    this.#send('W', number((rows & 0xffff) | ((cols & 0x7fff) << 16)))
  }

  #acknowledge(): void {
    if (this.#held > 0) this.#send('A', number(this.#held))
    this.#held = 0
  }
}

/** A connection to a port, or a socket with a name, in a machine. */
class Connection extends Duplex {
  readonly line: Line
  readonly #send: Send
  #window = WINDOW
  #room: (() => void) | null = null
  /** Bytes that have come, and that whoever reads this has no room for yet. */
  #held = 0

  constructor(send: Send) {
    super({ allowHalfOpen: true })
    this.#send = send
    this.line = {
      output: (stream, bytes) => {
        if (stream === 'stderr') return
        this.#held += bytes.length
        if (this.push(bytes)) this.#acknowledge()
      },
      taken: (bytes) => {
        this.#window += bytes
        this.#room?.()
      },
      ended: ({ code }) => {
        if (code) this.destroy(new GuestRefused('dial', code))
        else this.push(null)
        this.#room?.()
      },
    }
  }

  override _read(): void {
    this.#acknowledge()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#put(chunk).finally(done)
  }

  override _final(done: () => void): void {
    this.#send('E')
    done()
  }

  #acknowledge(): void {
    if (this.#held > 0) this.#send('A', number(this.#held))
    this.#held = 0
  }

  async #put(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += PIECE) {
      while (this.#window <= 0 && !this.readableEnded && !this.destroyed) {
        await new Promise<void>((resolve) => (this.#room = resolve))
      }
      const piece = chunk.subarray(at, at + PIECE)
      this.#window -= piece.length
      this.#send('I', piece)
    }
  }
}

function encodeProgram({ argv, env, cwd, user, terminal, joined }: GuestProgramSpec): Buffer {
  const size = terminal === null ? ['0', joined ? '1' : '0'] : [String(terminal.rows), String(terminal.cols)]
  const who = [String(user?.uid ?? -1), String(user?.gid ?? -1)]
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return encodeWords([...size, cwd, ...who, String(argv.length), ...argv, ...variables])
}

function builtin(argv: readonly string[]): GuestProgramSpec {
  return { argv, env: {}, cwd: '/', user: null, terminal: null, joined: false }
}

function collector(chunks: Buffer[]): OutputListener {
  return {
    output(stream, bytes) {
      if (stream === 'stdout') chunks.push(bytes)
      return true
    },
  }
}

/** A peer that says what is no frame is lost, and nothing is thrown into the stream. */
function splitter(
  onFrame: (frame: Frame) => void,
  onBroken: (error: Error) => void,
): (chunk: Buffer) => void {
  const take = splitFrames(onFrame)
  return (chunk) => {
    try {
      take(chunk)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      onBroken(error)
    }
  }
}
