/** The daemon's side of a run's host process. */
import { join } from 'node:path'
import {
  hostMessage,
  hostResults,
  type ExitNotice,
  type HostRefusal,
  type HostRequest,
  type HostResult,
} from '@thaw/protocol/host'
import {
  agentsDirectory,
  startProcess,
  ThawError,
  type Child,
  type Log,
  type Scope,
} from '../../system/index.js'
import { splitLines } from './lines.js'

/** The host said no. */
export class HostRefused extends Error {
  readonly refusal: HostRefusal
  constructor(refusal: HostRefusal) {
    super(refusal.message)
    this.name = 'HostRefused'
    this.refusal = refusal
  }
}

/** What a host is as a process. */
export type HostProcess = Pick<Child, 'stdin' | 'stdout' | 'stderr' | 'exited' | 'signal'>

/** Starts one elsewhere than on this machine as it is. */
export type StartHost = (argv: string[]) => Promise<HostProcess>

interface Waiting {
  request: HostRequest
  resolve: (result: never) => void
  reject: (error: unknown) => void
}

const STDERR_KEPT = 4096

export class Host implements AsyncDisposable {
  readonly #child: HostProcess
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  #gone = false
  #stderr = ''
  onExit: (notice: ExitNotice) => void = () => {}
  /** Resolves when the host has ended; everything below it is then gone too. */
  readonly gone: Promise<void>

  private constructor(child: HostProcess, log: Log) {
    this.#child = child
    const take = splitLines((line) => this.#receive(line))
    child.stdout?.on('data', (chunk: Buffer) => {
      try {
        take(chunk)
      } catch (error) {
        log.error('The host spoke out of turn.', { error })
        child.signal('SIGTERM')
      }
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_KEPT)
    })
    // The pipe breaks when the host ends; its exit says so better.
    child.stdin?.on('error', () => {})
    this.gone = child.exited.then((exit) => {
      this.#gone = true
      if (this.#stderr !== '') log.warn('The host ended.', { ...exit, stderr: this.#stderr })
      for (const { reject } of this.#waiting.values()) reject(this.#lost())
      this.#waiting.clear()
    })
  }

  /**
   * Starts a host under the given interpreter (CPython 3.8 or later).
   *
   * @param cache directory for instrumented code
   * @param optimize the level at which it compiles
   * @throws ThawError ENGINE_FAILED
   */
  static async start(
    python: string,
    cache: string,
    optimize: number,
    scope: Scope,
    start?: StartHost,
  ): Promise<Host> {
    const program = join(agentsDirectory(), 'python', 'thaw_agent', 'host.py')
    // Its life is the run's, not that of the request that happened to need it first.
    const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
    const argv = [python, '-I', '-S', ...Array<string>(optimize).fill('-O'), program]
    const child = await (start?.(argv) ?? startProcess(argv, { cwd: '/', atExit: 'leave' }, lasting))
    const host = new Host(child, scope.log)
    try {
      await host.ask({ do: 'hello', cache })
    } catch (error) {
      await host[Symbol.asyncDispose]()
      throw new ThawError('ENGINE_FAILED', `The helper process did not start under ${python}.`, {
        cause: error,
      })
    }
    return host
  }

  get alive(): boolean {
    return !this.#gone
  }

  /** @throws HostRefused, ThawError ENGINE_FAILED when the host is gone */
  ask<R extends HostRequest>(request: R): Promise<HostResult<R['do']>> {
    if (this.#gone) return Promise.reject(this.#lost())
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { request, resolve: resolve as (result: never) => void, reject })
      this.#child.stdin?.write(`${JSON.stringify({ ...request, id })}\n`)
    })
  }

  /** Ends the host, and with it every process it has. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end()
    await this.gone
  }

  #lost(): ThawError {
    const said = this.#stderr.trim().split('\n').at(-1) ?? ''
    return new ThawError(
      'ENGINE_FAILED',
      `The run's helper process ended unexpectedly${said && ` (${said})`}.`,
    )
  }

  #receive(line: string): void {
    const message = hostMessage.parse(JSON.parse(line))
    if (!('id' in message)) return this.onExit(message)
    const waiting = this.#waiting.get(message.id)
    if (waiting === undefined) return
    this.#waiting.delete(message.id)
    if (!message.ok) return waiting.reject(new HostRefused(message))
    const result = hostResults[waiting.request.do].safeParse(message)
    if (result.success) waiting.resolve(result.data as never)
    else waiting.reject(new ThawError('INTERNAL', `The host's answer to ${waiting.request.do} is malformed.`))
  }
}
