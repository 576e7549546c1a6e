/** A program in a sandbox with the agent in it: the agent asks, and the whole tree is copied from outside. */
import { renameSync, writeFileSync } from 'node:fs'
import type { AgentMessage, CheckpointMessage, SandboxOrder } from '@thaw/protocol/agent'
import { openScope, ThawError, type Log, type Scope } from '../../system/index.js'
import { RestoreRefused, type BaseSpec, type Branch, type BranchExit } from '../engine.js'
import type { BranchListener, RestoreSpec, TerminalSize } from '../engine.js'
import { ASK, ASK_NUMBER, canBeAsked, hearsay, type AgentLine } from '../fork/agents.js'
import type { Family } from '../fork/family.js'
import type { ProcessBranch } from './branch.js'
import type { ProcessGroup } from './group.js'
import type { ProcessImage } from './image.js'
import type { Tcp } from './inspect.js'
import type { ProcessEngine } from './process.js'
import type { ProcessCheckpoint, ProcessLaunch } from './specs.js'
import type { Network, Sandbox } from './sandbox.js'

/** Where the agent looks for word from the daemon (agents/python/thaw_agent/sandbox.py). */
const ORDER = '/run/.thaw-order'
/** How long the agent's last words may take after its program's end. Milliseconds. */
const LINE_GRACE = 2000

/** What a program is started with, and where its agent reports. */
export interface Site {
  group: ProcessGroup
  family: Family
}

export type WatchedLaunch = BaseSpec &
  Pick<RestoreSpec, 'branch' | 'streams' | 'listener' | 'stops' | 'diagnose'> & {
    network: Network
    tcp: Tcp
  } & Pick<ProcessLaunch, 'root' | 'layered' | 'seen'>

export type WatchedRestore = Omit<RestoreSpec, 'view'> & { view: 'shared' | 'private' } & Pick<
    ProcessLaunch,
    'seen'
  >

type Copy = (how: ProcessCheckpoint) => Promise<ProcessImage>

export class WatchedEngine {
  readonly #engine: ProcessEngine

  constructor(engine: ProcessEngine) {
    this.#engine = engine
  }

  /** From the start. On failure nothing is left. @throws ThawError as ProcessEngine.launch, ENGINE_FAILED */
  async launch({ group, family }: Site, spec: WatchedLaunch, scope: Scope): Promise<WatchedBranch> {
    const { branch, streams, listener, cwd, umask, network, stops, diagnose } = spec
    const { root = null, layered = false, seen = [] } = spec
    const { path } = await family.host.ask({ do: 'stub', python: spec.python })
    const setup = {
      socket: family.agents.path,
      cache: family.cache,
      ...spec.setup,
      branch,
      stops,
      diagnose,
      alone: network !== 'host',
    }
    const env = { ...spec.env, THAW_AGENT: JSON.stringify(setup) }
    const argv = spec.argv(path)
    const inner = await this.#engine.launch(
      group,
      {
        branch,
        argv,
        env,
        cwd,
        umask,
        allowance: spec.allowance,
        streams,
        listener,
        network,
        ownTemporary: false,
        accounted: true,
        root,
        layered,
        seen,
      },
      scope,
    )
    return await this.#watched({ group, family }, inner, listener, spec.tcp, false, scope)
  }

  /** @throws RestoreRefused, ThawError as ProcessEngine.restore; the image is as it was */
  async restore(
    { group, family }: Site,
    image: ProcessImage,
    spec: WatchedRestore,
    scope: Scope,
  ): Promise<WatchedBranch> {
    const { branch, streams, listener, view, env, files, stops, number, diagnose, seen = [] } = spec
    const order: SandboxOrder = {
      t: 'restore',
      socket: family.agents.path,
      branch,
      env,
      files,
      stops: [...stops],
      number,
      diagnose,
    }
    const furnished = (sandbox: Sandbox) => leave(sandbox, order)
    const inner = await this.#engine.restore(
      group,
      image,
      { branch, streams, listener, view, furnished, unread: false, accounted: true, seen },
      scope,
    )
    return await this.#watched({ group, family }, inner, listener, image.manifest.tcp, true, scope)
  }

  async #watched(
    { group, family }: Site,
    inner: ProcessBranch,
    listener: BranchListener,
    tcp: Tcp,
    restored: boolean,
    scope: Scope,
  ): Promise<WatchedBranch> {
    // A checkpoint does not end with the request that started its program.
    const lasting = openScope(scope.log)
    const copy: Copy = (how) => this.#engine.checkpoint(group, inner, lasting, { ...how, tcp })
    try {
      const line = await lineOf(family, inner)
      const branch = new WatchedBranch(inner, line, family, listener, copy)
      if (restored) await branch.patched
      return branch
    } catch (error) {
      inner.end()
      await inner[Symbol.asyncDispose]()
      throw error
    }
  }
}

/** The connection that the program's agent makes next. */
function lineOf(family: Family, inner: ProcessBranch): Promise<AgentLine> {
  const matches = ({ hello }: AgentLine) => hello.role === 'branch' && hello.id === inner.id
  return family.line(matches, inner.exited)
}

/** All at once: the agent may look at any moment. */
function leave(sandbox: Sandbox, order: SandboxOrder): void {
  const draft = sandbox.inside(`${ORDER}.draft`)
  writeFileSync(draft, JSON.stringify(order), { mode: 0o600 })
  renameSync(draft, sandbox.inside(ORDER))
}

export class WatchedBranch implements Branch {
  readonly id: string
  readonly pid: number
  readonly exited: Promise<BranchExit>
  /** Resolves when edited code is in place, in a restored program. @throws RestoreRefused */
  readonly patched: Promise<void>
  readonly #inner: ProcessBranch
  readonly #family: Family
  readonly #listener: BranchListener
  readonly #copy: Copy
  readonly #log: Log
  #left: readonly string[] = []
  #onPatched!: { resolve: () => void; reject: (error: unknown) => void }
  #line: AgentLine
  /** Messages are worked off one after the other. */
  #work: Promise<void> = Promise.resolve()
  /** The agent closes its connection to be copied, and makes another. */
  #again: Promise<void> = Promise.resolve()

  constructor(inner: ProcessBranch, line: AgentLine, family: Family, listener: BranchListener, copy: Copy) {
    this.id = inner.id
    this.pid = inner.pid
    this.#inner = inner
    this.#family = family
    this.#listener = listener
    this.#copy = copy
    this.#log = family.log
    this.patched = new Promise((resolve, reject) => (this.#onPatched = { resolve, reject }))
    this.patched.catch(() => {})
    this.#line = line
    this.#hear(line)
    this.exited = this.#follow()
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

  askCheckpoint(): Promise<void> {
    const { pid, over } = this.#inner
    if (over || !canBeAsked(pid)) {
      const why = over ? 'The program has ended.' : `The program uses ${ASK} for itself.`
      return Promise.reject(new ThawError('CHECKPOINT_REFUSED', why))
    }
    process.kill(pid, ASK_NUMBER)
    return Promise.resolve()
  }

  askStanding(): Promise<void> {
    const { pid, over } = this.#inner
    if (over || !canBeAsked(pid)) return Promise.resolve()
    this.#line.send({ t: 'tell' })
    process.kill(pid, ASK_NUMBER)
    return Promise.resolve()
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
      leave(this.#inner.parts.sandbox, order)
    }
    try {
      const image = await this.#copy({
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
