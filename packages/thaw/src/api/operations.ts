/** Work that goes on after its request was answered, and what became of it. */
import { randomBytes } from 'node:crypto'
import type { Operation, RunReport } from '@thaw/protocol'
import { ThawError, type Log } from '../system/index.js'
import type { Handle, Sink } from './ports.js'
import { summaryLine } from './summary.js'

/** Operations that run at a time. */
const MOST_RUNNING = 64
/** Operations that have ended and are remembered, at most. */
const MOST_ENDED = 256
/** Between the request to end and the end by force, milliseconds. */
const GRACE = 2000

export class Operations {
  readonly #log: Log
  readonly #all = new Map<string, Task>()

  constructor(log: Log) {
    this.#log = log
  }

  list(): Operation[] {
    return [...this.#all.values()].map((task) => task.operation)
  }

  /** @throws ThawError NOT_FOUND */
  get(id: string): Task {
    const fitting = this.#all.get(id) ?? this.#onlyOne(id)
    if (fitting !== undefined) return fitting
    throw new ThawError('NOT_FOUND', `There is no operation ${id}.`, {
      hint: 'Operations end with the daemon, and the oldest are forgotten; what was run is in /v1/runs.',
      details: { nearest: [...this.#all.keys()].slice(-3) },
    })
  }

  /** How many go on now. */
  running(): number {
    return [...this.#all.values()].filter((task) => task.operation.state === 'running').length
  }

  /**
   * Begins a run or a resume, and returns once its program runs (or its record is being replayed).
   *
   * @param begin is given a sink for each branch, and the signal that aborts what has not begun
   * @throws ThawError TOO_MANY_REQUESTS, and what kept it from starting; nothing is left then
   */
  async begin(
    kind: Operation['kind'],
    branches: number,
    begin: (sinks: Sink[], signal: AbortSignal) => Promise<{ handle: Handle<RunReport>; command: string[] }>,
    stdin: string | null,
  ): Promise<Task> {
    if (this.running() >= MOST_RUNNING) {
      throw new ThawError('TOO_MANY_REQUESTS', `${MOST_RUNNING} operations are running.`)
    }
    const task = new Task(kind)
    this.#all.set(task.operation.id, task)
    try {
      const sinks = Array.from({ length: branches }, () => task.sink())
      const { handle, command } = await begin(sinks, task.aborted)
      task.follow(handle, command, this.#log)
      // A program that does not read it is no failure.
      if (stdin !== null) void feed(handle, stdin).catch(() => {})
      await task.begun(branches)
    } catch (error) {
      this.#all.delete(task.operation.id)
      throw error
    }
    this.#forget()
    return task
  }

  #forget(): void {
    const ended = [...this.#all.values()].filter((task) => task.operation.state !== 'running')
    for (const task of ended.slice(0, Math.max(0, ended.length - MOST_ENDED))) {
      this.#all.delete(task.operation.id)
    }
  }

  #onlyOne(prefix: string): Task | undefined {
    const fitting = [...this.#all.keys()].filter(
      (id) => id.startsWith(prefix) || id.startsWith(`o_${prefix}`),
    )
    return fitting.length === 1 ? this.#all.get(fitting[0] as string) : undefined
  }
}

async function feed(handle: Handle<unknown>, text: string): Promise<void> {
  await handle.stdin(Buffer.from(text))
  handle.stdinEnd()
}

/** One operation, from its start to what became of it. */
export class Task {
  readonly operation: Operation
  /** Resolves when it has ended, whatever became of it. */
  readonly ended: Promise<void>
  readonly #abort = new AbortController()
  readonly #waiting = new Set<() => void>()
  #handle: Handle<RunReport> | null = null
  #failed: unknown = null
  #end!: () => void

  constructor(kind: Operation['kind']) {
    this.operation = {
      id: `o_${randomBytes(8).toString('hex')}`,
      kind,
      state: 'running',
      run: null,
      branches: [],
      started_at: new Date().toISOString(),
      ended_at: null,
      summary: null,
      report: null,
      error: null,
    }
    this.ended = new Promise((resolve) => (this.#end = resolve))
  }

  get aborted(): AbortSignal {
    return this.#abort.signal
  }

  /** What is printed is in the record of the branch, from which followers read it. */
  sink(): Sink {
    return {
      started: ({ run, branch }) => {
        this.operation.run = run
        this.operation.branches.push(branch)
        this.#wake()
      },
      stdout: () => Promise.resolve(),
      stderr: () => Promise.resolve(),
    }
  }

  follow(handle: Handle<RunReport>, command: string[], log: Log): void {
    this.#handle = handle
    handle.done.then(
      (report) => {
        this.operation.report = report
        this.operation.summary = summaryLine(report, command)
        this.#finish(this.#abort.signal.aborted ? 'cancelled' : 'done')
      },
      (error: unknown) => {
        const known = ThawError.from(error)
        if (known.code === 'INTERNAL') log.error('operation failed', { operation: this.operation.id, error })
        this.#failed = known
        this.operation.error = known.toBody()
        this.#finish(this.#abort.signal.aborted ? 'cancelled' : 'failed')
      },
    )
  }

  /** Resolves when so many branches run. @throws what kept them from it */
  async begun(branches: number): Promise<void> {
    while (this.operation.branches.length < branches && this.operation.state === 'running') {
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
    if (this.operation.branches.length === 0 && this.#failed !== null) throw this.#failed
  }

  /** Ends its programs: they are asked to, then made to. What has ended already stays as it is. */
  async cancel(): Promise<void> {
    if (this.operation.state !== 'running') return
    this.#abort.abort()
    const handle = this.#handle
    if (handle === null) return
    const timer = setTimeout(() => void handle.signal('SIGKILL').catch(() => {}), GRACE)
    await handle.signal('SIGTERM').catch(() => {})
    await this.ended
    clearTimeout(timer)
  }

  #finish(state: Operation['state']): void {
    this.operation.state = state
    this.operation.ended_at = new Date().toISOString()
    this.#wake()
    this.#end()
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const resolve of waiting) resolve()
  }
}
