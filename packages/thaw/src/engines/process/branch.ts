/** A live program in its sandbox. */
import type { Branch, BranchExit, TerminalSize } from '../engine.js'
import type { WrittenFiles } from '../../files/written.js'
import { removeTree, ThawError } from '../../system/index.js'
import type { PageServer } from './lazy.js'
import type { Network, Pids, Sandbox } from './sandbox.js'
import { outerPid } from './sandbox.js'
import type { Seen, Setting } from './setting.js'
import type { BranchStreams } from './streams.js'

/** What a program left running may finish what it prints for so long. Milliseconds. */
const STRAY_GRACE = 100

export interface BranchParts {
  sandbox: Sandbox
  streams: BranchStreams
  pids: Pids
  setting: Setting
  /** What it sees of the machine where it has a root of its own. */
  seen: readonly Seen[]
  network: Network
  /** Processors that it may run on, as the kernel lists them; null: not known. */
  cpus: string | null
  /** Directory of the branch, removed with it. */
  work: string
  /** Other things that end with the sandbox. */
  beside: readonly AsyncDisposable[]
  /** What brings pages that are not there yet; null: all are there from the start. */
  pages: PageServer | null
  /** File of the program that stands above the user's. */
  reaper: string
  /** Directories of the layers below what it writes, the oldest first; where its setting is layered. */
  layers: readonly string[]
  /** `private`: what it writes in its directory is its own, and gone with it. */
  view: 'shared' | 'private'
  /** Whether somebody else keeps account of what it writes: its agent, or its layer. */
  accounted: boolean
  /** What is not as it would be elsewhere, in words. */
  notes: string[]
  /** What it writes in its directory; null where the kernel does not tell. */
  written: WrittenFiles | null
}

export class ProcessBranch implements Branch, AsyncDisposable {
  readonly id: string
  readonly pid: number
  readonly left: readonly string[] = []
  readonly exited: Promise<BranchExit>
  /** Resolves when nothing of it is left, strays included. */
  readonly gone: Promise<void>
  readonly parts: BranchParts
  /** Root of the tree, as seen from here. */
  readonly root: number
  #over = false
  #killed = false
  #wrote: ReadonlyMap<string, string | null> | null = null

  constructor(id: string, parts: BranchParts) {
    this.id = id
    this.parts = parts
    const { sandbox, pids } = parts
    this.root = outerPid(sandbox.initPid, pids.root)
    this.pid = outerPid(this.root, pids.program) || this.root || sandbox.initPid
    this.exited = this.#follow()
    this.gone = this.#clean()
  }

  get over(): boolean {
    return this.#over
  }

  /** The real files that it has written and closed, and how they looked then; known at its end, null where it is not. */
  get wrote(): ReadonlyMap<string, string | null> | null {
    return this.#wrote
  }

  async writeStdin(bytes: Uint8Array): Promise<void> {
    await this.parts.streams.input?.write(bytes)
  }

  endStdin(): void {
    this.parts.streams.input?.end()
  }

  resumeOutput(): void {
    for (const output of this.parts.streams.outputs) output.resume()
  }

  closeOutput(stream: 'stdout' | 'stderr'): void {
    const { outputs, terminal } = this.parts.streams
    // A terminal has other uses: the program goes on, unseen.
    if (terminal === null) outputs[stream === 'stdout' ? 0 : 1]?.close()
    else terminal.discard()
  }

  signal(name: string): Promise<void> {
    if (this.#over) return Promise.resolve()
    if (name === 'SIGKILL') this.#killed = true
    this.parts.sandbox.signal(name)
    return Promise.resolve()
  }

  /** Everything in the sandbox goes, what stands still too. */
  end(): void {
    this.#killed = true
    this.parts.sandbox.kill()
  }

  resize(size: TerminalSize): Promise<void> {
    if (!this.#over) this.parts.streams.terminal?.resize(size)
    return Promise.resolve()
  }

  askCheckpoint(): Promise<void> {
    return Promise.reject(
      new ThawError(
        'UNSUPPORTED',
        'A checkpoint of this program is taken from outside, not by the program itself.',
      ),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.parts.sandbox[Symbol.asyncDispose]()
    await this.gone
  }

  async #follow(): Promise<BranchExit> {
    const { sandbox, streams } = this.parts
    const { code, signal, strays: others } = await sandbox.exited
    this.#over = true
    const strays = Math.max(0, others - (this.parts.pages?.processes ?? 0))
    if (this.#killed) sandbox.kill()
    else if (strays > 0) {
      // They live on, as they would under a shell, but nobody waits for them for long.
      const silent = Promise.all([...streams.outputs.map((output) => output.ended), sandbox.gone])
      await Promise.race([silent, new Promise((resolve) => setTimeout(resolve, STRAY_GRACE))])
    }
    const { view, written } = this.parts
    if (view === 'shared') this.#wrote = written?.now(false) ?? null
    const stdinConsumed = streams.close(strays > 0 && !this.#killed)
    return { code, signal, strays, stdinConsumed }
  }

  async #clean(): Promise<void> {
    await this.parts.sandbox.gone
    await this.parts.pages?.done
    await Promise.all(this.parts.beside.map((one) => one[Symbol.asyncDispose]()))
    await this.exited
    this.parts.written?.[Symbol.dispose]()
    removeTree(this.parts.work)
  }
}
