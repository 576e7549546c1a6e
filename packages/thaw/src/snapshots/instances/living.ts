/** One instance that has not ended: its program, and everything that ends with it. */
import type { Image, Instance, InstanceRequest, InstanceState } from '@thaw/protocol'
import type { OutputListener, StreamsSpec } from '../../engines/engine.js'
import type { Publication } from '../../engines/process/publication.js'
import type { InstanceRow } from '../../store/index.js'
import { matcher, ThawError, type Cgroup, type Scope } from '../../system/index.js'
import type { Beside, Body } from './body.js'
import type { Place } from './files.js'
import type { InstanceLog } from './log.js'
import { measure } from './stats.js'
import { findUser, type User } from './users.js'

/** Of what it printed last, so much is part of an error. Bytes. */
const LAST_WORDS = 600
/** The machine's address at which ports are published. */
export const LOOPBACK = '127.0.0.1'

export interface ExecSpec {
  command: readonly string[]
  env: Readonly<Record<string, string>>
  /** Null: where the instance started. */
  cwd: string | null
  /** Null: as the instance. */
  user: string | null
  streams: StreamsSpec
  listener: OutputListener
}

/** Where it is recorded. */
export interface Register {
  record(row: InstanceRow): void
  forget(id: string): void
}

export class Living implements AsyncDisposable {
  /** What it is started of. */
  readonly origin: Image
  /** What a Docker engine is to run in it; null: nothing. */
  readonly container: Image | null
  readonly log: InstanceLog
  readonly cgroup: Cgroup | null
  /** Aborted when it ends, for whatever reason. */
  readonly over = new AbortController()
  readonly #table: Register
  #movedIn: number | null = null
  /** As it was asked for. */
  readonly given: InstanceRequest
  /** Of what its program is: those of its machine, until that has brought its container up. */
  #role: { image: Image; request: InstanceRequest }
  /** Whether programs see themselves as root in a user namespace. */
  readonly #rootless: boolean
  readonly #entered = new Set<Beside & { readonly pids: () => number[] }>()
  readonly #watchers = new Set<(bytes: Buffer) => void>()
  /** Of the copy that it lives on. */
  #lease: Disposable | null = null
  #document: Instance
  #body: Body | null = null
  #publication: Publication | null = null
  #lastUse = performance.now()
  #using = 0
  #forgotten = false
  #turn: Promise<unknown> = Promise.resolve()
  #lastWords = Buffer.alloc(0)

  constructor(parts: {
    document: Instance
    image: Image
    container: Image | null
    request: InstanceRequest
    log: InstanceLog
    cgroup: Cgroup | null
    table: Register
    rootless: boolean
  }) {
    this.#document = parts.document
    this.container = parts.container
    this.given = parts.request
    this.origin = parts.image
    const request = parts.container === null ? parts.request : ofMachine(parts.request)
    this.#role = { image: parts.image, request }
    this.log = parts.log
    this.cgroup = parts.cgroup
    this.#table = parts.table
    this.#rootless = parts.rootless
  }

  get image(): Image {
    return this.#role.image
  }

  get request(): InstanceRequest {
    return this.#role.request
  }

  /** From now on what is asked of it is asked of its container. */
  moveIn(): void {
    if (this.container === null) return
    this.#role = { image: this.container, request: this.given }
    this.#movedIn = performance.now()
  }

  /** When its machine was ready for its container, by `performance.now()`; null: there is none. */
  get movedIn(): number | null {
    return this.#movedIn
  }

  get document(): Instance {
    return this.#document
  }

  get id(): string {
    return this.#document.id
  }

  get state(): InstanceState {
    return this.#document.state
  }

  /** Told what its program prints. */
  get listener(): OutputListener {
    const { image } = this
    return {
      output: (stream, bytes) => {
        // What its machine prints is no output of a container.
        if (image !== this.image) return true
        this.#lastUse = performance.now()
        if (this.container === null || this.container === image) this.log.append(stream, bytes)
        this.#lastWords = Buffer.concat([this.#lastWords, bytes]).subarray(-LAST_WORDS)
        for (const watch of this.#watchers) watch(bytes)
        return true
      },
    }
  }

  get lastWords(): string {
    return this.#lastWords.toString().trim()
  }

  /** Changes what is known of it, here and in the journal. */
  change(change: Partial<Instance>): void {
    this.#document = { ...this.#document, ...change }
    if (!this.#forgotten) this.#table.record({ instance: this.#document, request: this.given })
  }

  /** From now on the journal knows nothing of it. */
  forget(): void {
    this.#forgotten = true
    this.#table.forget(this.id)
  }

  /** What it lives on is given back when nothing of it is left. */
  standOn(lease: Disposable | null): void {
    this.#lease = lease
  }

  /** The program is there. */
  began(body: Body): void {
    this.#body = body
    this.#note({ pid: body.pid })
  }

  get body(): Body | null {
    return this.#body
  }

  /** @throws ThawError WRONG_STATE */
  running(...states: InstanceState[]): Body {
    if (this.#body === null || !states.includes(this.state)) {
      const { name, state, reason } = this.#document
      throw new ThawError('WRONG_STATE', `${name} is ${state}${reason === null ? '' : `: ${reason}`}.`)
    }
    return this.#body
  }

  /** One operation at a time on its program. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** Something of it is in use for as long as `work` takes. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    this.#using++
    try {
      return await work()
    } finally {
      this.#using--
      this.#lastUse = performance.now()
    }
  }

  /** Since anybody used it. */
  get idleSeconds(): number {
    const busy = this.#using > 0 || this.#entered.size > 0 || (this.#publication?.connections ?? 0) > 0
    if (busy) this.#lastUse = performance.now()
    return (performance.now() - this.#lastUse) / 1000
  }

  /** Resolves when it prints what matches; what it has printed before this is called does not count. */
  printed(pattern: string): Promise<void> {
    return new Promise((resolve) => {
      const watch = matcher(new RegExp(pattern, 'm'), () => {
        this.#watchers.delete(watch)
        resolve()
      })
      this.#watchers.add(watch)
    })
  }

  /** Ports that were taken for those of its image, not open yet. */
  takeOver(taken: Publication | null): void {
    this.#publication = taken
  }

  /** Those that were asked for, else those of its image. @throws ThawError PORT_IN_USE */
  async publishPorts(scope: Scope): Promise<void> {
    const body = this.running('creating')
    const ports = this.request.ports ?? this.image.ports.map((port) => ({ port, host: 0 }))
    if (this.#publication !== null && this.request.ports === null) {
      await this.#publication.open(scope)
    } else {
      await this.#publication?.[Symbol.asyncDispose]()
      this.#publication = null
      if (ports.length === 0) return
      if (this.#document.network === 'host')
        return this.#note({ ports: ports.map(({ port }) => ({ port, host: port })) })
      const pairs = ports.map(({ port, host }) => ({ port: host, inner: port }))
      const made = await body.publish(LOOPBACK, pairs, scope)
      if (this.over.signal.aborted) return await made[Symbol.asyncDispose]()
      this.#publication = made
    }
    this.#note({ ports: this.#publication.ports.map(({ port, inner }) => ({ port: inner, host: port })) })
  }

  /** A port of the machine that leads to one of its own while `use` runs. */
  async reach(port: number, scope: Scope, use: (port: number) => Promise<boolean>): Promise<boolean> {
    const body = this.running('creating', 'ready')
    const known = this.#document.ports.find((one) => one.port === port)
    if (known !== undefined || this.#document.network === 'host') return await use(known?.host ?? port)
    const made = await body.publish(LOOPBACK, [{ port: 0, inner: port }], scope)
    try {
      return await use(made.ports[0]?.port ?? 0)
    } finally {
      await made[Symbol.asyncDispose]()
    }
  }

  /**
   * Another program in it. It ends with the instance.
   *
   * @throws ThawError WRONG_STATE, INVALID_REQUEST, COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE
   */
  async exec(spec: ExecSpec, scope: Scope): Promise<Beside> {
    const body = this.running('creating', 'ready')
    const user = await this.userOf(spec.user ?? this.user)
    const home = user?.home ?? null
    const terminal = spec.streams.terminal === null ? {} : { TERM: 'xterm' }
    const entered = await body.start(
      {
        argv: spec.command,
        env: { ...(home === null ? {} : { HOME: home }), ...terminal, ...this.environment, ...spec.env },
        cwd: spec.cwd ?? this.image.cwd,
        user,
        streams: spec.streams,
        listener: spec.listener,
        admit: (pid) => admit(this.cgroup, pid),
      },
      scope,
    )
    this.#entered.add(entered)
    void entered.exited.then(() => {
      this.#entered.delete(entered)
      this.#lastUse = performance.now()
    })
    if (this.over.signal.aborted) await entered[Symbol.asyncDispose]()
    return entered
  }

  get environment(): Record<string, string> {
    return { ...this.image.env, ...this.request.env }
  }

  /** As whom it runs; null: as nobody in particular. */
  get user(): string | null {
    return this.request.user ?? this.image.user
  }

  /** Null: the daemon's own. @throws ThawError INVALID_REQUEST for one that its files do not name */
  async userOf(given: string | null): Promise<User | null> {
    // In a machine it can be anybody, whoever runs the daemon.
    if (given === null || (this.#rootless && this.origin.engine !== 'vm')) return null
    const body = this.running('creating', 'ready')
    return findUser(given, await body.readText('/etc/passwd'), await body.readText('/etc/group'))
  }

  measure() {
    const body = this.running('ready', 'paused', 'creating')
    return measure(this.cgroup, this.#pids(body))
  }

  /** Its program stands still; what was started beside it goes on. */
  pause(): void {
    this.#freeze(this.running('ready'))
    this.change({ state: 'paused' })
  }

  resume(): void {
    this.#thaw(this.running('paused'))
    this.#lastUse = performance.now()
    this.change({ state: 'ready' })
  }

  /** Lets one that is paused run while `work` needs that. */
  async awake<T>(work: () => Promise<T>): Promise<T> {
    const body = this.running('ready', 'paused')
    if (this.state === 'ready') return await work()
    this.#thaw(body)
    try {
      return await work()
    } finally {
      if (this.state === 'paused') this.#freeze(body)
    }
  }

  /** Ends everything of it, and waits. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.over.abort()
    if (this.state === 'paused' && this.#body !== null) this.#thaw(this.#body)
    await Promise.all([...this.#entered].map((one) => one[Symbol.asyncDispose]()))
    await this.#publication?.[Symbol.asyncDispose]()
    await this.#body?.[Symbol.asyncDispose]()
    this.cgroup?.[Symbol.dispose]()
    this.log.close()
    this.#lease?.[Symbol.dispose]()
  }

  /** Comes into the journal with its next change: what a daemon finds of one that began under another is no use. */
  #note(change: Partial<Instance>): void {
    this.#document = { ...this.#document, ...change }
  }

  #pids(body: Body): number[] {
    return [...body.pids(), ...[...this.#entered].flatMap((one) => one.pids())]
  }

  #freeze(body: Body): void {
    if (this.cgroup?.freezes === true) return this.cgroup.freeze(() => body.pids())
    signalAll(body, 'SIGSTOP')
  }

  #thaw(body: Body): void {
    if (this.cgroup?.freezes === true) this.cgroup.thaw()
    else signalAll(body, 'SIGCONT')
  }
}

/** What a machine is given that is to run a container: the rest is for that. */
export function ofMachine(request: InstanceRequest): InstanceRequest {
  return { ...request, env: {}, user: null, files: [], ports: [], limits: null, readiness: null }
}

/** The directories that are an instance's own; null: all that it sees. */
export function ownOf(image: Image): Place['own'] {
  return image.kind === 'rootfs' ? null : [image.cwd, '/tmp', '/dev/shm']
}

/** Everything that it starts is then counted, too. A process that has ended is no error. */
export function admit(cgroup: Cgroup | null, pid: number): void {
  try {
    cgroup?.admit(pid)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Parents first, until there is none that one of them had started meanwhile. */
function signalAll(body: Body, name: NodeJS.Signals): void {
  const told = new Set<number>()
  for (let more = true; more;) {
    more = false
    for (const pid of body.pausable()) {
      if (told.has(pid)) continue
      told.add(pid)
      more = true
      try {
        process.kill(pid, name)
      } catch {
        // It has ended.
      }
    }
  }
}
