/** One host with its processes: a base, a live branch, parked checkpoints. */
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentMessage } from '@thaw/protocol/agent'
import type { ExitNotice } from '@thaw/protocol/host'
import {
  identify,
  isAlive,
  ThawError,
  type Log,
  type ProcessIdentity,
  type Scope,
} from '../../system/index.js'
import { AgentServer, type AgentLine } from './agents.js'
import { Host, type StartHost } from './host.js'

/** How long a process of ours may take to report after it was started. */
const REPORT_TIMEOUT = 20_000
const ACCEPT_GRACE = 500
const UNCLAIMED_KEPT = 64

interface Expected {
  matches: (line: AgentLine) => boolean
  resolve: (line: AgentLine) => void
}

export class Family implements AsyncDisposable {
  readonly host: Host
  readonly agents: AgentServer
  /** Private directory with the socket and the FIFOs. */
  readonly directory: string
  readonly cache: string
  readonly log: Log
  readonly #unclaimed = new Set<AgentLine>()
  readonly #expected = new Set<Expected>()
  readonly #exits = new Map<number, (notice: ExitNotice) => void>()
  /** Exits that arrived before anyone asked. */
  readonly #early = new Map<number, ExitNotice>()
  /** Pids of the processes that are to stay: base and parked ones. */
  readonly parked = new Set<number>()
  /** The programs that run. */
  readonly #programs = new Map<number, ProcessIdentity>()
  #fifos = 0

  private constructor(host: Host, agents: AgentServer, directory: string, cache: string, log: Log) {
    this.host = host
    this.agents = agents
    this.directory = directory
    this.cache = cache
    this.log = log
    host.onExit = (notice) => this.#exited(notice)
    void host.gone.then(() => {
      this.#endOrphans()
      for (const pid of this.#exits.keys())
        this.#exited({ event: 'exit', pid, code: null, signal: 'SIGKILL' })
    })
    agents.onHello = (line) => this.#hello(line)
  }

  /**
   * @param python interpreter of the host; the run's own where code is to be compared
   * @param runtime directory in which the family makes its private one
   */
  static async open(
    python: string,
    runtime: string,
    cache: string,
    optimize: number,
    scope: Scope,
    start?: StartHost,
  ): Promise<Family> {
    const directory = mkdtempSync(join(runtime, 'f'))
    try {
      const [host, agents] = await Promise.all([
        Host.start(python, cache, optimize, scope, start),
        AgentServer.listen(join(directory, 's'), scope.log),
      ])
      return new Family(host, agents, directory, cache, scope.log)
    } catch (error) {
      rmSync(directory, { recursive: true, force: true })
      throw error
    }
  }

  /** The line of a process that is about to report, or has. @param patience milliseconds */
  line(
    matches: (line: AgentLine) => boolean,
    gone: Promise<unknown>,
    patience = REPORT_TIMEOUT,
  ): Promise<AgentLine> {
    for (const line of this.#unclaimed) {
      if (matches(line)) {
        this.#unclaimed.delete(line)
        return Promise.resolve(line)
      }
    }
    return new Promise((resolve, reject) => {
      const expected: Expected = {
        matches,
        resolve: (line) => {
          clearTimeout(timer)
          resolve(line)
        },
      }
      const fail = (why: string) => {
        clearTimeout(timer)
        if (this.#expected.delete(expected)) reject(new ThawError('ENGINE_FAILED', why))
      }
      const timer = setTimeout(() => fail('The program did not report in time.'), patience)
      // A short program may have reported and ended before its connection was even accepted here.
      const late = () => setImmediate(() => setImmediate(() => fail('The program ended before it reported.')))
      void gone.then(() => setTimeout(late, ACCEPT_GRACE))
      this.#expected.add(expected)
    })
  }

  /** How a child of the host ended. */
  exit(pid: number): Promise<ExitNotice> {
    const early = this.#early.get(pid)
    if (early !== undefined) {
      this.#early.delete(pid)
      return Promise.resolve(early)
    }
    if (!this.host.alive) return Promise.resolve({ event: 'exit', pid, code: null, signal: 'SIGKILL' })
    return new Promise((resolve) => this.#exits.set(pid, resolve))
  }

  /** A program that runs from now on. */
  follow(pid: number): void {
    const identity = identify(pid)
    if (identity !== undefined) this.#programs.set(pid, identity)
  }

  /** Makes FIFOs in the private directory. */
  async fifos(...names: string[]): Promise<string[]> {
    const number = ++this.#fifos
    const paths = names.map((name) => join(this.directory, `${number}.${name}`))
    await this.host.ask({ do: 'fifo', paths })
    return paths
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]()
    await this.agents[Symbol.asyncDispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }

  #hello(line: AgentLine): void {
    for (const expected of this.#expected) {
      if (expected.matches(line)) {
        this.#expected.delete(expected)
        return expected.resolve(line)
      }
    }
    // A line that has closed already still says that its program ran: it stays until somebody asks, or many came after.
    this.#unclaimed.add(line)
    const [oldest] = this.#unclaimed
    if (this.#unclaimed.size > UNCLAIMED_KEPT && oldest !== undefined) this.#unclaimed.delete(oldest)
  }

  /** A host that was killed could end nobody: what it had is ended here, group by group. */
  #endOrphans(): void {
    // Parked processes end with their line.
    this.agents.hangUp()
    for (const [pid, identity] of this.#programs) {
      if (!isAlive(identity)) continue
      for (const target of [-pid, pid]) {
        try {
          process.kill(target, 'SIGKILL')
        } catch {
          // Gone in the meantime.
        }
      }
    }
  }

  #exited(notice: ExitNotice): void {
    this.#programs.delete(notice.pid)
    const resolve = this.#exits.get(notice.pid)
    this.#exits.delete(notice.pid)
    if (resolve !== undefined) return resolve(notice)
    // Strays report here too, and nobody ever asks for them.
    if (this.#early.size > 256) this.#early.clear()
    this.#early.set(notice.pid, notice)
  }
}

/** Whether a process has the file at `path` open as descriptor `fd`. */
export function hasOpen(pid: number, fd: number, path: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`) === path
  } catch {
    return false
  }
}

/** Next message of a parked process that fits. */
export function nextMessage<T extends AgentMessage['t']>(
  line: AgentLine,
  kinds: readonly T[],
): Promise<Extract<AgentMessage, { t: T }>> {
  return new Promise((resolve, reject) => {
    line.listen((message) => {
      if ((kinds as readonly string[]).includes(message.t))
        resolve(message as Extract<AgentMessage, { t: T }>)
    })
    void line.closed.then(() => reject(new ThawError('ENGINE_FAILED', 'The parked process is gone.')))
  })
}
