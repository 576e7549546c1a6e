/** A program with the agent in it that is copied from outside when the agent asks: in a sandbox, or in a machine. */
import type { AgentMessage, CheckpointMessage, SandboxOrder } from '@thaw/protocol/agent'
import { ThawError, type Log } from '../system/index.js'
import { RestoreRefused, type AnyImage, type Branch, type BranchExit } from './engine.js'
import type { BranchListener, TerminalSize } from './engine.js'
import { hearsay, type AgentLine } from './fork/agents.js'
import type { Family } from './fork/family.js'

/** Where the agent looks for word from the daemon (agents/python/thaw_agent/sandbox.py). */
export const ORDER = '/run/.thaw-order'
/** How long the agent's last words may take after its program's end. Milliseconds. */
const LINE_GRACE = 2000

/** What its engine does for it. */
export interface WatchedProgram {
  inner: Branch & { readonly over: boolean }
  /** @param how.goesOn called when the program may be told that it goes on */
  copy(how: {
    stop: boolean
    cut: (crossed: { stdin: number }) => void
    goesOn: () => void
  }): Promise<AnyImage>
  /** Leaves word for the agent, all at once. */
  leave(order: SandboxOrder): Promise<void>
  /** Has the agent come to the daemon soon. Why it cannot; null: it was asked. */
  ask(): Promise<string | null>
}

/** The connection that the program's agent makes next. */
function lineOf(family: Family, inner: Branch, within?: number): Promise<AgentLine> {
  const matches = ({ hello }: AgentLine) => hello.role === 'branch' && hello.id === inner.id
  return family.line(matches, inner.exited, within)
}

export class WatchedBranch implements Branch {
  readonly id: string
  readonly pid: number
  readonly exited: Promise<BranchExit>
  /** Resolves when edited code is in place, in a restored program. @throws RestoreRefused */
  readonly patched: Promise<void>
  readonly #inner: WatchedProgram['inner']
  readonly #program: WatchedProgram
  readonly #family: Family
  readonly #listener: BranchListener
  readonly #log: Log
  #left: readonly string[] = []
  #onPatched!: { resolve: () => void; reject: (error: unknown) => void }
  #line: AgentLine
  /** Messages are worked off one after the other. */
  #work: Promise<void> = Promise.resolve()
  /** The agent closes its connection to be copied, and makes another. */
  #again: Promise<void> = Promise.resolve()

  private constructor(program: WatchedProgram, line: AgentLine, family: Family, listener: BranchListener) {
    const { inner } = program
    this.id = inner.id
    this.pid = inner.pid
    this.#inner = inner
    this.#program = program
    this.#family = family
    this.#listener = listener
    this.#log = family.log
    this.patched = new Promise((resolve, reject) => (this.#onPatched = { resolve, reject }))
    this.patched.catch(() => {})
    this.#line = line
    this.#hear(line)
    this.exited = this.#follow()
  }

  /**
   * When its agent has reported, and in a restored program edited code is in place.
   *
   * @param within how long the agent may take to report; milliseconds
   * @throws RestoreRefused; ThawError ENGINE_FAILED; the program is then the caller's to end
   */
  static async open(
    program: WatchedProgram,
    family: Family,
    listener: BranchListener,
    restored: boolean,
    within?: number,
  ): Promise<WatchedBranch> {
    const line = await lineOf(family, program.inner, within)
    const branch = new WatchedBranch(program, line, family, listener)
    if (restored) await branch.patched
    return branch
  }

  get failure(): ThawError | null {
    return this.#inner.failure ?? null
  }

  get notes(): readonly string[] {
    return this.#inner.notes ?? []
  }

  get left(): readonly string[] {
    return this.#left
  }

  writeStdin(bytes: Uint8Array): Promise<void> {
    return this.#inner.writeStdin(bytes)
  }

  endStdin(): void {
    this.#inner.endStdin()
  }

  resumeOutput(): void {
    this.#inner.resumeOutput()
  }

  closeOutput(stream: 'stdout' | 'stderr'): void {
    this.#inner.closeOutput(stream)
  }

  signal(name: string): Promise<void> {
    return this.#inner.signal(name)
  }

  resize(size: TerminalSize): Promise<void> {
    return this.#inner.resize(size)
  }

  async askCheckpoint(): Promise<void> {
    // An agent that is still in the checkpoint before cannot be asked for the next one.
    await this.#again
    const why = this.#inner.over ? 'The program has ended.' : await this.#program.ask()
    if (why !== null) throw new ThawError('CHECKPOINT_REFUSED', why)
  }

  async askStanding(): Promise<void> {
    if (this.#inner.over) return
    this.#line.send({ t: 'tell' })
    await this.#program.ask()
  }

  #hear(line: AgentLine): void {
    this.#line = line
    line.listen((message) => {
      this.#work = this.#work
        .then(() => this.#on(message))
        .catch((error: unknown) => {
          this.#log.error('A message of the agent could not be handled.', { error })
        })
    })
  }

  async #on(message: AgentMessage): Promise<void> {
    switch (message.t) {
      case 'restored':
        this.#left = message.left
        return this.#onPatched.resolve()
      case 'failed':
        return this.#onPatched.reject(new RestoreRefused(message.why))
      case 'checkpoint':
        return await this.#checkpoint(message)
      default:
        return hearsay(message, this.#listener)
    }
  }

  async #checkpoint(message: CheckpointMessage): Promise<void> {
    let told = false
    const tell = (order: SandboxOrder) => {
      told = true
      this.#again = lineOf(this.#family, this.#inner).then(
        (line) => this.#hear(line),
        () => {},
      )
      this.#program.leave(order).catch((error: unknown) => {
        this.#log.warn('An agent could not be told.', { error })
      })
    }
    try {
      const image = await this.#program.copy({
        stop: message.stop,
        cut: ({ stdin }) => this.#listener.cut(stdin),
        goesOn: () => {
          if (!message.stop) tell({ t: 'go' })
        },
      })
      await this.#listener.checkpoint(image, message)
    } catch (error) {
      this.#log.info('A program could not be copied.', { error })
      if (told || this.#inner.over) return
      // The agent says it again, as it says why it did not ask.
      tell({ t: 'refused', why: ThawError.from(error).message.replace(/\.$/, '') })
    }
  }

  async #follow(): Promise<BranchExit> {
    const exit = await this.#inner.exited
    this.#onPatched.reject(new ThawError('ENGINE_FAILED', 'The program ended before it could go on.'))
    const grace = new Promise((resolve) => setTimeout(resolve, LINE_GRACE).unref())
    await Promise.race([this.#again.then(() => this.#line.closed), grace])
    this.#line.close()
    await this.#work
    return exit
  }
}
