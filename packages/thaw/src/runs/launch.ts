/** One branch of a run on its way: its streams and record, its program, and what its end means for the run. */
import { join } from 'node:path'
import type { RunReport, RunSettings } from '@thaw/protocol'
import type { Branch, BranchExit, Image, RestoreSpec, StreamsSpec } from '../engines/engine.js'
import type { Scope } from '../system/index.js'
import { Execution, type Take } from './execution.js'
import { OutputFlow, type RunSink } from './flow.js'
import type { Group } from './group.js'
import { newBranch, type BranchRecord, type Checkpoint, type Root } from './lineage.js'
import { OutputRecord } from './record.js'
import { reportOf, type Begun } from './report.js'
import type { Run } from './run.js'
import { StdinFeed } from './stdin.js'
import type { Workshop } from './workshop.js'

export interface Started {
  branch: string
  /** Null when there is no program: a replay. */
  execution: Execution | null
  feed: StdinFeed
  done: Promise<RunReport>
}

export interface LaunchSpec {
  streams: StreamsSpec
  settings: RunSettings
  sink: RunSink
  scope: Scope
  /** Named in the report. */
  engine: string
  /** When the caller asked, as performance.now() tells it. */
  began: number
  /** Seconds between checkpoints by time; null: none. */
  every: number | null
  command: readonly string[]
  /** For a command below a launcher: the token of that launch. */
  below: string | null
  /** The program is to tell where it stands when it fails. */
  diagnose: RestoreSpec['diagnose']
}

export const seconds = (from: number, to = performance.now()) => (to - from) / 1000

export class Launch {
  readonly id: string
  readonly feed: StdinFeed
  readonly flow: OutputFlow
  readonly #shop: Workshop
  readonly #run: Run
  readonly #spec: LaunchSpec
  /** Whether the program is expected to stop. */
  stops = false
  /** Under which Python programs below this command report. */
  #token: string | null = null
  /** Runs beside others of the same run: its files are not the run's. */
  apart = false

  constructor(shop: Workshop, run: Run, spec: LaunchSpec) {
    this.#shop = shop
    this.#run = run
    this.#spec = spec
    this.id = shop.newId('b')
    shop.makeDirectory(this.directory)
    this.feed = new StdinFeed(join(this.directory, 'stdin'), spec.streams.stdin === 'null')
    this.flow = new OutputFlow(spec.sink)
  }

  get directory(): string {
    return this.#run.branchDirectory(this.id)
  }

  newRecord(
    root: Root,
    env: Record<string, string>,
    parent: Checkpoint | null,
    engine: BranchRecord['engine'] = 'fork',
  ): BranchRecord {
    return newBranch({
      id: this.id,
      root,
      env,
      streams: this.#spec.streams,
      parent,
      engine,
      modules: this.#run.tree.modules(),
      broken: null,
    })
  }

  newExecution(record: BranchRecord): Execution {
    const { settings } = this.#spec
    return new Execution(record, new OutputRecord(this.directory, settings.output), this.flow, this.feed, {
      contents: this.#shop.contents,
      checkpoint: (checkpoint) => this.#shop.keep(this.#run, checkpoint, settings.checkpoints),
      refused: (work, why) => this.#shop.refused(record.id, work, why),
      newCheckpointId: () => this.#shop.newId('c'),
    })
  }

  restore(
    group: Group,
    image: Image,
    execution: Execution,
    how: Pick<RestoreSpec, 'env' | 'files' | 'stops' | 'number'>,
    { view, hold }: Pick<RestoreSpec, 'view' | 'hold'> = { view: null, hold: false },
  ): Promise<Branch> {
    const { streams, scope, diagnose } = this.#spec
    this.stops = how.stops.some(({ save }) => save !== true)
    return this.#shop.engine.restore(
      group.family,
      image,
      { branch: this.id, ...how, streams, diagnose, view, hold, listener: execution },
      scope,
    )
  }

  /** The token under which Python programs below this command report. */
  opened(): string {
    return (this.#token ??= this.#shop.launches.open())
  }

  /** The caller learns which branch is its own; before any output. */
  announce(): void {
    this.#spec.sink.started({ run: this.#run.identity.id, branch: this.id })
  }

  /**
   * From the program's start to its end.
   *
   * @param group null for a program without an agent
   * @param take how it is copied then
   */
  follow(
    group: Group | null,
    execution: Execution,
    branch: Branch,
    consumed: number,
    begun: Begun,
    take: Take | null = null,
  ): Started {
    const run = this.#run
    const { record } = execution
    execution.attach(branch, consumed, take)
    if (!this.apart) {
      run.live.add(execution)
      run.branches.push(record)
    }
    if (group !== null) run.groupOf.set(record, group)
    this.#shop.began(run, execution, branch)
    const from = performance.now()
    const timer = this.#byTime(execution)
    const done = branch.exited.then((exit) => {
      clearInterval(timer)
      return this.#finish(group, execution, exit, begun, from)
    })
    return this.started(execution, done)
  }

  started(execution: Execution, done: Promise<RunReport>): Started {
    return { branch: this.id, execution, feed: this.feed, done: this.told(this.id, done, execution) }
  }

  /** Records the outcome of a branch before anybody learns of it. */
  async told(branch: string, done: Promise<RunReport>, execution: Execution | null): Promise<RunReport> {
    try {
      const report = await done
      const { below, command } = this.#spec
      if (below !== null) this.#shop.launches.ran(below, [...command], report)
      this.#shop.tell(this.#run, branch, report)
      return report
    } finally {
      execution?.settled()
    }
  }

  report(
    begun: Begun,
    exit: { code: number | null; signal: string | null } | null,
    program: number,
    cold: number | null,
  ): RunReport {
    const below = this.#token === null ? [] : this.#shop.launches.close(this.#token)
    return reportOf(begun, exit, {
      below,
      run: this.#run.identity.id,
      engine: this.#spec.engine,
      relative: (file) => this.#shop.relative(this.#run, file),
      total: seconds(this.#spec.began),
      program,
      cold,
    })
  }

  #byTime(execution: Execution): NodeJS.Timeout | undefined {
    const { every, scope } = this.#spec
    if (every === null) return undefined
    return setInterval(() => {
      // What makes it impossible now is in the record already.
      execution.ask(null).catch((error: unknown) => scope.log.debug('no checkpoint by time', { error }))
    }, every * 1000)
  }

  async #finish(
    group: Group | null,
    execution: Execution,
    exit: BranchExit,
    begun: Begun,
    from: number,
  ): Promise<RunReport> {
    const run = this.#run
    const program = seconds(from)
    await execution.taking
    execution.finish(exit)
    await this.flow.finished()
    this.#shop.ended(run, execution, exit)
    if (this.apart) {
      run.groupOf.delete(execution.record)
      await group?.[Symbol.asyncDispose]()
    } else {
      run.live.delete(execution)
      const left = join(run.identity.directory, 'left', execution.record.id)
      run.settling = run.settling.then(() => {
        if (run.live.size > 0) return
        run.settle(execution.record, execution.startedAt, left)
        run.prune()
      })
    }
    const { stop } = execution
    const reason = this.#withMissed(begun.reason, execution)
    if (stop !== null) {
      return this.report({ ...begun, outcome: 'stopped', checkpoint: stop }, null, program, null)
    }
    const cold = begun.checkpoint === null ? null : begun.checkpoint.work + program
    return this.report({ ...begun, reason }, exit, program, cold)
  }

  /** Why a program that was to stop did not comes first. */
  #withMissed(reason: string | null, { stop, impossible }: Execution): string | null {
    if (!this.stops || stop !== null) return reason
    const missed =
      impossible === null ? 'it never came to where it was to stop' : `it could not stop: ${impossible}`
    return reason === null ? missed : `${missed}; ${reason}`
  }
}

/** Variables to set and (null) to unset; null when nothing differs. */
export function environmentChange(
  then: Record<string, string>,
  now: Record<string, string>,
): Record<string, string | null> | null {
  const change: Record<string, string | null> = {}
  for (const [name, value] of Object.entries(now)) if (then[name] !== value) change[name] = value
  for (const name of Object.keys(then)) if (!(name in now)) change[name] = null
  return Object.keys(change).length === 0 ? null : change
}
