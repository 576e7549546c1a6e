/** The daemon's side of a sandbox: namespaces with a PID 1 of ours (native/sandbox). */
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { Allowance } from '@thaw/protocol'
import { readFileSync } from 'node:fs'
import {
  nativeProgram,
  startProcess,
  ThawError,
  within,
  type Child,
  type Log,
  type Scope,
} from '../../system/index.js'
import { encodeRecord, splitRecords } from './wire.js'

export type Network = 'host' | 'private' | 'private+out'

/** Descriptors of the program in the sandbox: native/sandbox/wire.h. */
export const FIRST_STREAM = 4
const FIRST_DIRECTORY = 16
const STDERR_KEPT = 4096
/** What does not come to its end by itself is ended, after so long. Milliseconds. */
const GRACE = 2000

export interface SandboxSpec {
  /** In a user namespace, without root. */
  user: boolean
  network: Network
  /** The program's stdin, stdout and stderr; null: /dev/null. They stay the caller's. */
  streams: readonly (number | null)[]
}

/** Of the reaper that stands above a program, and of the program itself. */
export interface Pids {
  root: number
  program: number
}

export interface SandboxExit {
  code: number | null
  signal: string | null
  /** Processes that are left in the sandbox. */
  strays: number
}

/** PID 1 could not do what it was told. */
export class SandboxRefused extends Error {
  override readonly name = 'SandboxRefused'
  /** What failed: an operation of docs/sandbox-protocol.md. */
  readonly what: string
  /** Name of the error, as ENOENT. */
  readonly error: string

  constructor(what: string, number: number) {
    const error = number === 0 ? 'unknown' : getSystemErrorName(-number)
    super(`${what}: ${error}`)
    this.what = what
    this.error = error
  }
}

interface Waiting {
  verbs: readonly string[]
  resolve: (words: string[]) => void
  reject: (error: unknown) => void
}

/** Path under which everything in the sandbox finds a directory that PID 1 has open, whatever is mounted. */
export function directoryPath(number: number): string {
  return `/proc/1/fd/${FIRST_DIRECTORY + number}`
}

export class Sandbox implements AsyncDisposable {
  readonly #child: Child
  readonly #control: ReturnType<Child['pipe']>
  readonly #log: Log
  #waiting: Waiting | null = null
  #failure: unknown = null
  #initPid = 0
  readonly #initTold: Promise<void>
  #tellInit!: () => void
  #stderr = ''
  #onPaused: (() => Promise<void>) | null = null
  /** Answers that come although their operation was answered with a failure of what was told before. */
  #overdue = 0
  /** How the program ended; SIGKILL when the sandbox ended first. */
  readonly exited: Promise<SandboxExit>
  #exited!: (exit: SandboxExit) => void
  /** Resolves when nothing of the sandbox is left. */
  readonly gone: Promise<void>

  private constructor(child: Child, log: Log) {
    this.#child = child
    this.#control = child.pipe(3)
    this.#log = log
    this.exited = new Promise((resolve) => (this.#exited = resolve))
    this.#initTold = new Promise((resolve) => (this.#tellInit = resolve))
    const take = splitRecords((words) => this.#receive(words))
    this.#control.on('data', (chunk: Buffer) => {
      try {
        take(chunk)
      } catch (error) {
        log.error('A sandbox spoke out of turn.', { error })
        this.#control.destroy()
      }
    })
    this.#control.on('error', () => {})
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_KEPT)
    })
    // Its end is known when what it had to say has been read.
    const silent = new Promise<void>((resolve) => this.#control.once('close', resolve))
    this.gone = Promise.all([child.exited, silent]).then(() => {
      const said = this.#stderr.trim().split('\n').at(-1) ?? ''
      this.#fail(new ThawError('ENGINE_FAILED', `The sandbox ended unexpectedly${said && ` (${said})`}.`))
      this.#tellInit()
      this.#exited({ code: null, signal: 'SIGKILL', strays: 0 })
    })
  }

  /**
   * Makes the namespaces. On failure nothing is left.
   *
   * @throws ThawError ENGINE_FAILED naming what the kernel refused
   */
  static async start(spec: SandboxSpec, scope: Scope): Promise<Sandbox> {
    const argv = [
      nativeProgram('sandbox'),
      String(process.pid),
      spec.user ? 'user' : 'root',
      spec.network === 'host' ? 'host' : 'private',
    ]
    const stdio = ['ignore', 'ignore', 'pipe', 'pipe', ...spec.streams.map((fd) => fd ?? 'ignore')] as const
    // Its life is the branch's, not that of the request that started it.
    const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
    const child = await startProcess(argv, { cwd: '/', env: {}, stdio: [...stdio] }, lasting)
    const sandbox = new Sandbox(child, scope.log)
    try {
      const ready = sandbox.#expect('ready')
      sandbox.tell('ready')
      // Its init may answer before its owner has told the pid: two processes write here.
      await within(scope, 'making a sandbox', Promise.all([ready, sandbox.#initTold]))
      if (sandbox.#failure !== null) throw sandbox.#failure as Error
      return sandbox
    } catch (error) {
      await sandbox[Symbol.asyncDispose]()
      if (!(error instanceof SandboxRefused)) throw error
      throw new ThawError('ENGINE_FAILED', `A sandbox could not be made: ${error.message}.`, { cause: error })
    }
  }

  /** PID 1, as seen from here. */
  get initPid(): number {
    return this.#initPid
  }

  /** A path inside, as seen from here. */
  inside(path: string): string {
    return `/proc/${this.#initPid}/root${path}`
  }

  /** A command that answers nothing when it succeeds; a failure fails the next one that does answer. */
  tell(...words: string[]): void {
    if (this.#control.writable) this.#control.write(encodeRecord(words))
  }

  /** Waits for everything told so far. @throws SandboxRefused, ThawError TIMEOUT, CANCELLED */
  async settle(scope: Scope): Promise<void> {
    const ready = this.#expect('ready')
    this.tell('ready')
    await within(scope, 'making a sandbox ready', ready)
  }

  /**
   * Starts the program.
   *
   * @param streams what stands at stdin, stdout and stderr; `terminal`: stdin is to be its controlling terminal
   * @returns pids inside
   * @throws SandboxRefused (`exec`, `chdir`, …), ThawError TIMEOUT, CANCELLED
   */
  async start(
    program: {
      argv: readonly string[]
      env: Readonly<Record<string, string>>
      cwd: string
      umask: number
      terminal: boolean
      streams: readonly (number | null)[]
      allowance: Allowance
    },
    scope: Scope,
  ): Promise<Pids> {
    const { argv, cwd, umask, terminal, allowance } = program
    const env = Object.entries(program.env).map(([name, value]) => `${name}=${value}`)
    const streams = program.streams.map((fd) => (fd === null ? '-' : String(fd)))
    const started = this.#expect('started')
    this.tell('processors', allowance.cpus)
    this.tell(
      'start',
      cwd,
      umask.toString(8),
      terminal ? '1' : '0',
      ...streams,
      String(allowance.nice),
      allowance.limits.map((pair) => pair.join(':')).join(','),
      String(argv.length),
      ...argv,
      ...env,
    )
    const [, root, pid] = await within(scope, 'starting the program', started)
    return { root: Number(root), program: Number(pid) }
  }

  /**
   * Runs criu inside. At the end of the scope criu is ended; a program that stood still for it goes on.
   *
   * @param paused called while the program stands still with its image written; when it throws, the dump is undone
   * @throws ThawError TIMEOUT, CANCELLED
   */
  async criu(
    argv: readonly string[],
    scope: Scope,
    paused: () => Promise<void> = () => Promise.resolve(),
  ): Promise<{ status: number; lastPid: string }> {
    const ended = this.#expect('ended')
    this.#onPaused = paused
    this.tell('criu', ...argv)
    try {
      const [, status, lastPid = ''] = await within(scope, 'running criu', ended)
      return { status: Number(status), lastPid }
    } catch (error) {
      this.tell('abandon')
      await ended
      throw error
    } finally {
      this.#onPaused = null
    }
  }

  /**
   * Restores a program.
   *
   * @param lastPid the pid given out last when its image was made
   * @param paused called when everything is restored and stands still; it goes on when this resolves. Needs criu's action script
   * @returns whether criu succeeded; its log says why not
   */
  async restore(
    pids: Pids,
    lastPid: string,
    argv: readonly string[],
    paused: (() => Promise<void>) | null = null,
  ): Promise<boolean> {
    this.#onPaused = paused
    try {
      const answer = this.#expect('started', 'unrestored')
      this.tell('restore', String(pids.root), String(pids.program), lastPid, ...argv)
      return (await answer)[0] === 'started'
    } finally {
      this.#onPaused = null
    }
  }

  /** To the program's process group. */
  signal(name: string): void {
    const number = constants.signals[name as NodeJS.Signals] as number | undefined
    if (number === undefined) throw new ThawError('INVALID_REQUEST', `There is no signal ${name}.`)
    this.tell('signal', String(number))
  }

  /** Ends every process in it. */
  kill(): void {
    this.tell('kill')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#control.destroy()
    const timer = setTimeout(() => void this.#child.end(), GRACE)
    await this.gone
    clearTimeout(timer)
  }

  /** @throws ThawError at once, before anything is told, where no answer can be waited for */
  #expect(...verbs: string[]): Promise<string[]> {
    if (this.#failure !== null) throw this.#failure as Error
    if (this.#waiting !== null) {
      throw new ThawError('RUN_BUSY', 'Another operation on this program is under way.')
    }
    return new Promise((resolve, reject) => (this.#waiting = { verbs, resolve, reject }))
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.reject(error)
  }

  #receive(words: string[]): void {
    const [verb = '', ...rest] = words
    switch (verb) {
      case 'init':
        this.#initPid = Number(rest[0])
        return this.#tellInit()
      case 'failed': {
        const waiting = this.#waiting
        const refused = new SandboxRefused(rest[0] ?? '', Number(rest[1]))
        this.#waiting = null
        if (waiting?.verbs.includes('ready') === true) this.#overdue++
        if (waiting === null) this.#log.error('A sandbox failed.', { error: refused })
        return waiting?.reject(refused)
      }
      case 'exit': {
        const [code, signal, strays] = rest
        const name = Object.entries(constants.signals).find(([, number]) => String(number) === signal)?.[0]
        return this.#exited({
          code: code === '-' ? null : Number(code),
          signal: signal === '-' ? null : (name ?? `SIG${signal}`),
          strays: Number(strays),
        })
      }
      case 'paused':
        return void this.#pause()
      default: {
        if (verb === 'ready' && this.#overdue > 0) return void this.#overdue--
        const waiting = this.#waiting
        if (waiting === null || !waiting.verbs.includes(verb)) throw new Error(`unexpected ${verb}`)
        this.#waiting = null
        return waiting.resolve(words)
      }
    }
  }

  async #pause(): Promise<void> {
    try {
      await this.#onPaused?.()
      this.tell('go', 'y')
    } catch (error) {
      this.#log.warn('A checkpoint was undone.', { error })
      this.tell('go', 'n')
    }
  }
}

/** Pids, as seen from here, of the child of `parent` that is `inner` in its own namespace; 0 when it has ended. */
export function outerPid(parent: number, inner: number): number {
  try {
    const children = childrenOf(parent)
    const found = children.find((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1')
      return /^NSpid:.*?(\d+)$/m.exec(status)?.[1] === String(inner)
    })
    return Number(found ?? 0)
  } catch {
    return 0
  }
}

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(/\s+/)
}
