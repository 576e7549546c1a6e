/** A program of an image, alive in a sandbox of its own. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Image, Limits, Readiness } from '@thaw/protocol'
import { Entered } from '../../engines/process/entered.js'
import type { ProcessBranch } from '../../engines/process/branch.js'
import type { ProcessGroup } from '../../engines/process/group.js'
import type { ProcessImage } from '../../engines/process/image.js'
import { treeOf } from '../../engines/process/inspect.js'
import type { HeldBranch, ProcessEngine } from '../../engines/process/process.js'
import { publish } from '../../engines/process/publication.js'
import { Cgroup, ThawError, within, withTimeout, type Scope } from '../../system/index.js'
import { becomeReady } from '../instances/readiness.js'
import { findUser } from '../instances/users.js'
import { Output } from './output.js'

/** Seconds in which something that was ready when it was copied has to be so again. */
const READY_AGAIN = 10

/** What one of several has of its own. */
export interface Own {
  /** Of this machine's only one of that name. */
  id: string
  hostname: string | null
  /** Over the image's; for what is started only. */
  env: Readonly<Record<string, string>>
  network: 'private' | 'private+out' | 'host'
  limits: Limits
}

export class Live implements AsyncDisposable {
  readonly image: Image
  readonly branch: ProcessBranch
  readonly output: Output
  readonly cgroup: Cgroup | null
  readonly #rootless: boolean
  readonly #env: Readonly<Record<string, string>>

  constructor(
    image: Image,
    branch: ProcessBranch,
    output: Output,
    cgroup: Cgroup | null,
    env: Readonly<Record<string, string>>,
    rootless: boolean,
  ) {
    this.image = image
    this.branch = branch
    this.output = output
    this.cgroup = cgroup
    this.#env = env
    this.#rootless = rootless
  }

  /**
   * Waits until it counts as ready.
   *
   * @param restored it was ready when it was copied
   * @throws ThawError NOT_READY, CANCELLED
   */
  async ready(readiness: Readiness | null, restored: boolean, scope: Scope): Promise<void> {
    const ended = this.branch.exited.then(({ code, signal }) => {
      throw new ThawError(
        'NOT_READY',
        `It ended (${signal ?? `code ${code}`}) before it was ready${this.#last}.`,
      )
    })
    ended.catch(() => {})
    if (readiness === null) {
      // What cannot be started at all ends at once.
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, restored ? 0 : 20))])
      return
    }
    const seconds = restored ? Math.min(READY_AGAIN, readiness.timeout) : readiness.timeout
    const own = withTimeout(scope, seconds * 1000)
    const probed = {
      branch: this.branch,
      printed: (pattern: string) => this.output.printed(pattern),
      succeeds: (command: readonly string[], until: Scope) =>
        this.run(command, until).then(
          () => true,
          () => false,
        ),
      reach: (port: number, use: (port: number) => Promise<boolean>) => this.#reach(port, use, own),
    }
    try {
      await Promise.race([
        ended,
        within(own, 'waiting until it is ready', becomeReady(probed, readiness, restored, own)),
      ])
    } catch (error) {
      if (!(error instanceof ThawError) || error.code !== 'TIMEOUT') throw error
      throw new ThawError('NOT_READY', `It was not ready within ${seconds} s${this.#last}.`, { cause: error })
    }
  }

  /** Runs a command beside it. @throws ThawError SNAPSHOT_FAILED when that does not end with 0 */
  async run(command: readonly string[], scope: Scope): Promise<void> {
    const { env, cwd } = this.image
    const parts: Buffer[] = []
    const listener = {
      output(_stream: 'stdout' | 'stderr', bytes: Buffer) {
        if (parts.length < 16) parts.push(Buffer.from(bytes))
        return true
      },
    }
    const streams = { stdin: 'null', joined: true, terminal: null } as const
    const spec = {
      argv: command,
      env: { ...env, ...this.#env },
      cwd,
      user: userOf(this.image, this.root),
      streams,
      listener,
    }
    await using program = await Entered.start(this.branch, spec, this.#rootless, scope)
    const { code, signal } = await within(scope, `running ${command[0]}`, program.exited)
    if (code === 0) return
    const said = Buffer.concat(parts).toString('utf8').slice(-500).trim()
    throw new ThawError(
      'SNAPSHOT_FAILED',
      `${command.join(' ')} ended with ${signal ?? code}${said === '' ? '' : `: ${said}`}.`,
    )
  }

  get root(): string | null {
    return this.branch.parts.setting.root
  }

  get #last(): string {
    return this.output.end === '' ? '' : `; it printed: ${this.output.end}`
  }

  async #reach(port: number, use: (port: number) => Promise<boolean>, scope: Scope): Promise<boolean> {
    if (this.branch.parts.network === 'host') return use(port)
    await using published = await publish(
      this.branch,
      '127.0.0.1',
      [{ port: 0, inner: port }],
      this.#rootless,
      scope,
    )
    return await use(published.ports[0]?.port ?? 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.branch[Symbol.asyncDispose]()
    this.cgroup?.[Symbol.dispose]()
  }
}

/** One that is restored, and stands still until it is let go. */
export class Held implements AsyncDisposable {
  readonly initPid: number
  readonly #held: HeldBranch
  readonly #awaken: (branch: ProcessBranch) => Live
  readonly #cgroup: Cgroup | null

  constructor(held: HeldBranch, cgroup: Cgroup | null, awaken: (branch: ProcessBranch) => Live) {
    this.#held = held
    this.#awaken = awaken
    this.#cgroup = cgroup
    this.initPid = held.initPid
  }

  /** Whether it still stands there. */
  get alive(): boolean {
    return existsSync(`/proc/${this.initPid}/ns/pid`)
  }

  /** Bytes: its share of the memory that its processes have. */
  get memory(): number {
    return treeOf(this.initPid).reduce((sum, pid) => {
      try {
        const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]
        return sum + Number(kilobytes ?? 0) * 1024
      } catch {
        return sum
      }
    }, 0)
  }

  /** @throws ThawError when it is gone */
  async release(): Promise<Live> {
    return this.#awaken(await this.#held.release())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held[Symbol.asyncDispose]()
    this.#cgroup?.[Symbol.dispose]()
  }
}

/** Brings images to life, in one group of the process engine. */
export class Lives {
  readonly #engine: ProcessEngine
  readonly #group: ProcessGroup
  readonly #rootOf: (image: Image) => string | null
  readonly #rootless: boolean

  constructor(
    engine: ProcessEngine,
    group: ProcessGroup,
    rootOf: (image: Image) => string | null,
    rootless: boolean,
  ) {
    this.#engine = engine
    this.#group = group
    this.#rootOf = rootOf
    this.#rootless = rootless
  }

  /** From its command. It need not be ready yet. */
  async start(image: Image, own: Own, scope: Scope): Promise<Live> {
    const root = this.#rootOf(image)
    const user = userOf(image, root)
    const home = image.user === null ? {} : homeOf(image, root)
    const env = { ...(root === null ? machineEnvironment() : {}), ...home, ...image.env, ...own.env }
    return await this.#with(own, (admit) => {
      const output = new Output()
      const spec = {
        branch: own.id,
        argv: [...image.command],
        env,
        cwd: image.cwd,
        umask: 0o22,
        streams: STREAMS,
        listener: output,
        network: own.network,
        root,
        layered: true,
        user,
        hostname: own.hostname,
        admit,
      }
      return this.#engine
        .launch(this.#group, spec, scope)
        .then((branch) => (cgroup: Cgroup | null) => this.#live(image, branch, output, cgroup, own))
    })
  }

  /** From a copy. @throws ThawError IMAGE_BROKEN, IMAGE_MISMATCH, ENGINE_FAILED */
  async restore(image: Image, from: ProcessImage, own: Own, scope: Scope): Promise<Live> {
    return await this.#with(own, (admit) => {
      const output = new Output()
      const spec = { branch: own.id, streams: STREAMS, listener: output, hostname: own.hostname, admit }
      return this.#engine
        .restore(this.#group, from, spec, scope)
        .then((branch) => (cgroup: Cgroup | null) => this.#live(image, branch, output, cgroup, own))
    })
  }

  /** From a copy, up to the last step. */
  async hold(image: Image, from: ProcessImage, own: Own, scope: Scope): Promise<Held> {
    return await this.#with(own, (admit) => {
      const output = new Output()
      const spec = { branch: own.id, streams: STREAMS, listener: output, hostname: own.hostname, admit }
      return this.#engine
        .hold(this.#group, from, spec, scope)
        .then(
          (held) => (cgroup: Cgroup | null) =>
            new Held(held, cgroup, (branch) => this.#live(image, branch, output, cgroup, own)),
        )
    })
  }

  /** It ends with that. @param cut called while it stands still */
  async copy(live: Live, cut: () => void, scope: Scope): Promise<ProcessImage> {
    return await this.#engine.checkpoint(this.#group, live.branch, scope, { stop: true, cut })
  }

  #live(image: Image, branch: ProcessBranch, output: Output, cgroup: Cgroup | null, own: Own): Live {
    return new Live(image, branch, output, cgroup, own.env, this.#rootless)
  }

  /** On failure, nothing is left of the cgroup. */
  async #with<T>(
    own: Own,
    begin: (admit: (pid: number) => void) => Promise<(cgroup: Cgroup | null) => T>,
  ): Promise<T> {
    const { cpu, memory, pids } = own.limits
    const limited = cpu !== null || memory !== null || pids !== null
    const cgroup = limited ? new Cgroup(own.id, { cpus: cpu, memory, processes: pids }) : null
    try {
      return (await begin((pid) => cgroup?.admit(pid)))(cgroup)
    } catch (error) {
      cgroup?.[Symbol.dispose]()
      throw error
    }
  }
}

const STREAMS = { stdin: 'null', joined: false, terminal: null } as const

function userOf(image: Image, root: string | null): { uid: number; gid: number } | null {
  if (image.user === null) return null
  const { uid, gid } = findUser(image.user, textOf(root, 'passwd'), textOf(root, 'group'))
  return { uid, gid }
}

function homeOf(image: Image, root: string | null): Record<string, string> {
  const { home } = findUser(image.user ?? '', textOf(root, 'passwd'), textOf(root, 'group'))
  return home === null ? {} : { HOME: home }
}

function textOf(root: string | null, name: string): string {
  try {
    return readFileSync(join(root ?? '/', 'etc', name), 'utf8')
  } catch {
    return ''
  }
}

/** Of the daemon's environment, what programs of this machine expect. */
function machineEnvironment(): Record<string, string> {
  const names = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'USER', 'LOGNAME', 'SHELL']
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  )
}
