/** A live process: its streams, its agent's messages, its end. */
import { rmSync } from 'node:fs'
import type { AgentMessage } from '@thaw/protocol/agent'
import type { ExitNotice } from '@thaw/protocol/host'
import type {
  Branch,
  BranchExit,
  BranchListener,
  OutputListener,
  StreamsSpec,
  TerminalSize,
} from '../engine.js'
import { ThawError } from '../../system/index.js'
import { ASK, canBeAsked, hearsay, type AgentLine } from './agents.js'
import { hasOpen, type Family } from './family.js'
import { ForkImage } from './image.js'
import { InputPipe, OutputPipe } from '../pipes.js'

/** Processes left behind by the program may finish what they print for so long. Milliseconds. */
const STRAY_GRACE = 100
const LINE_GRACE = 2000

/** The streams of a branch that is about to start. */
export class BranchStreams {
  readonly paths: { stdin: string | null; stdout: string; stderr: string }
  readonly tty: string | null
  readonly input: InputPipe | null
  readonly outputs: OutputPipe[]
  readonly #family: Family
  readonly #files: string[]

  private constructor(
    family: Family,
    files: string[],
    parts: Pick<BranchStreams, 'paths' | 'tty' | 'input' | 'outputs'>,
  ) {
    this.#family = family
    this.#files = files
    this.paths = parts.paths
    this.tty = parts.tty
    this.input = parts.input
    this.outputs = parts.outputs
  }

  static async open(family: Family, spec: StreamsSpec, listener: OutputListener): Promise<BranchStreams> {
    const separate = !spec.joined && spec.terminal === null
    const files = await family.fifos('in', 'out', ...(separate ? ['err'] : []))
    const [inPath, outPath, errPath] = files as [string, string, string?]
    const outputs = [new OutputPipe(outPath, (bytes) => listener.output('stdout', bytes))]
    if (errPath !== undefined)
      outputs.push(new OutputPipe(errPath, (bytes) => listener.output('stderr', bytes)))
    const input = spec.stdin === 'stream' ? new InputPipe(inPath) : null
    const stdin = input === null ? null : inPath
    let tty: string | null = null
    if (spec.terminal !== null) {
      tty = (await family.host.ask({ do: 'tty', ...spec.terminal, stdin, stdout: outPath })).path
    }
    const paths =
      tty === null
        ? { stdin, stdout: outPath, stderr: errPath ?? outPath }
        : { stdin: stdin === null ? null : tty, stdout: tty, stderr: tty }
    return new BranchStreams(family, files, { paths, tty, input, outputs })
  }

  /** Hands over everything printed so far. */
  async drain(): Promise<void> {
    if (this.tty !== null && this.#family.host.alive)
      await this.#family.host.ask({ do: 'flush', tty: this.tty })
    for (const output of this.outputs) output.drain()
  }

  /** Bytes of stdin that were taken. Prerequisite: the program stands still; more may arrive at any time. */
  taken(): number {
    const { input, tty } = this
    if (input === null) return 0
    // A terminal takes what it is given.
    return input.written - (tty === null ? input.waiting : 0)
  }

  /**
   * Returns how many bytes of stdin were taken.
   *
   * @param shared somebody may still print: that is read and thrown away, so that it is not killed for it
   */
  async close(shared = false): Promise<number> {
    if (this.tty !== null && this.#family.host.alive) {
      await this.#family.host.ask({ do: 'hangup', tty: this.tty }).catch(() => {})
    }
    for (const output of this.outputs) {
      output.drain()
      if (shared) output.discard()
      else output.close()
    }
    const consumed = this.input?.close() ?? 0
    for (const file of this.#files) rmSync(file, { force: true })
    return consumed
  }
}

export class ForkBranch implements Branch {
  readonly id: string
  readonly pid: number
  readonly left: readonly string[]
  readonly #line: AgentLine | null
  readonly exited: Promise<BranchExit>
  readonly #family: Family
  readonly #streams: BranchStreams
  #gone = false
  #killed = false
  /** Messages are worked off one after the other. */
  #work: Promise<void> = Promise.resolve()

  constructor(
    family: Family,
    id: string,
    pid: number,
    streams: BranchStreams,
    agent: { line: AgentLine; listener: BranchListener } | null,
    exit: Promise<ExitNotice> = family.exit(pid),
    left: readonly string[] = [],
  ) {
    this.left = left
    this.#line = agent?.line ?? null
    this.#family = family
    this.id = id
    this.pid = pid
    this.#streams = streams
    family.follow(pid)
    agent?.line.listen((message) => {
      this.#work = this.#work
        .then(() => this.#on(message, agent.line, agent.listener))
        .catch((error: unknown) =>
          family.log.error('A message of the agent could not be handled.', { error }),
        )
    })
    this.exited = this.#follow(agent?.line ?? null, exit)
  }

  async writeStdin(bytes: Uint8Array): Promise<void> {
    await this.#streams.input?.write(bytes)
  }

  endStdin(): void {
    this.#streams.input?.end(this.#stdinOpened())
  }

  resumeOutput(): void {
    for (const output of this.#streams.outputs) output.resume()
  }

  closeOutput(stream: 'stdout' | 'stderr'): void {
    this.#streams.outputs[stream === 'stdout' ? 0 : 1]?.close()
  }

  async signal(name: string): Promise<void> {
    if (this.#gone || !this.#family.host.alive) return
    if (name === 'SIGKILL') this.#killed = true
    await this.#family.host.ask({ do: 'signal', pid: this.pid, signal: name, group: true })
  }

  async resize(size: TerminalSize): Promise<void> {
    const { tty } = this.#streams
    if (tty === null || this.#gone || !this.#family.host.alive) return
    await this.#family.host.ask({ do: 'resize', tty, ...size })
  }

  async askCheckpoint(): Promise<void> {
    if (this.#line === null) {
      throw new ThawError('UNSUPPORTED', 'This program runs plainly: nothing in it can make a checkpoint.')
    }
    if (!canBeAsked(this.pid)) {
      throw new ThawError('CHECKPOINT_REFUSED', `The program uses ${ASK} for itself.`)
    }
    await this.#family.host.ask({ do: 'signal', pid: this.pid, signal: ASK, group: false })
  }

  async askStanding(): Promise<void> {
    if (this.#line === null || !canBeAsked(this.pid)) return
    this.#line.send({ t: 'tell' })
    await this.#family.host.ask({ do: 'signal', pid: this.pid, signal: ASK, group: false })
  }

  release(): void {
    this.#line?.send({ t: 'go' })
  }

  async #stdinOpened(): Promise<void> {
    const { stdin } = this.#streams.paths
    // With a terminal it is the host that reads, and it has the pipe open from the start.
    if (stdin === null || this.#streams.tty !== null) return
    for (let i = 0; i < 1000 && !this.#gone && !hasOpen(this.pid, 0, stdin); i++) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(i, 10)))
    }
  }

  async #on(message: AgentMessage, line: AgentLine, listener: BranchListener): Promise<void> {
    if (message.t !== 'checkpoint') return hearsay(message, listener)
    const image = new ForkImage(this.#family, message.pid, null)
    // It did not wait: by now it may have printed more, none of which belongs before the checkpoint.
    if (message.quiet) return listener.checkpoint(image, message)
    try {
      await this.#streams.drain()
      listener.cut(this.#streams.taken())
      await listener.checkpoint(image, message)
    } finally {
      line.send({ t: 'go' })
    }
  }

  async #follow(line: AgentLine | null, exit: Promise<ExitNotice>): Promise<BranchExit> {
    const { code, signal } = await exit
    this.#gone = true
    const strays = await this.#leaveStrays()
    if (line !== null) {
      await Promise.race([line.closed, new Promise((resolve) => setTimeout(resolve, LINE_GRACE).unref())])
      line.close()
    }
    await this.#work
    const stdinConsumed = await this.#streams.close(strays > 0 && !this.#killed)
    return { code, signal, strays, stdinConsumed }
  }

  /**
   * What the program left running lives on, as it would under a shell, but nobody waits for it for long. Where thaw
   * itself killed the program, it ends too.
   */
  async #leaveStrays(): Promise<number> {
    const { host, parked } = this.#family
    try {
      const keep = [...parked]
      const { pids } = await host.ask({ do: 'strays', keep, action: this.#killed ? 'kill' : 'look' })
      if (pids.length === 0 || this.#killed) return pids.length
      const silent = Promise.all(this.#streams.outputs.map((output) => output.ended))
      await Promise.race([silent, new Promise((resolve) => setTimeout(resolve, STRAY_GRACE))])
      return (await host.ask({ do: 'strays', keep, action: 'release' })).pids.length
    } catch {
      // Without its host nothing of the family is left.
      return 0
    }
  }
}
