/** One branch of a run on its way: its streams and record, its program, and what its end means for the run. */
import { join } from 'node:path'
import type { RunReport, RunSettings } from '@thaw/protocol'
import { isParked } from '../engines/engine.js'
import type { AnyImage, Branch, BranchExit, RestoreSpec, StreamsSpec } from '../engines/engine.js'
import { ProcessImage } from '../engines/process/image.js'
import type { Seen } from '../engines/process/setting.js'
import type { ProcessLaunch } from '../engines/process/specs.js'
import type { Site } from '../engines/process/watched.js'
import { VmImage } from '../engines/vm/image.js'
import { ThawError, type Scope } from '../system/index.js'
import { Execution, type Take } from './execution.js'
import { OutputFlow, type RunSink } from './flow.js'
import type { Group } from './group.js'
import { keepHistory } from './history.js'
import { newBranch, type BranchRecord, type Checkpoint, type Root } from './lineage.js'
import { machineSite } from './machine-site.js'
import { OutputRecord } from './record.js'
import { ownIn, rootOf } from './roots.js'
import { coldReasonOf, joined, reportOf, type Begun } from './report.js'
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
  /** Named in the report, unless its branch is of another. */
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
  /** What it writes in its directory is its own, and gone with it. In sandboxes only. */
  isPrivate = false
  /** Named in the report. */
  engine: string

  constructor(shop: Workshop, run: Run, spec: LaunchSpec) {
    this.#shop = shop
    this.#run = run
    this.#spec = spec
    this.engine = spec.engine
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
    how: Pick<BranchRecord, 'engine' | 'watched'> = { engine: 'fork', watched: true },
  ): BranchRecord {
    if (how.engine !== 'fork') this.engine = how.engine
    return newBranch({
      id: this.id,
      root,
      env,
      streams: this.#spec.streams,
      parent,
      ...how,
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
      own: ownIn(record.root.files, this.#run.identity.project),
    })
  }

  restore(
    group: Group,
    image: AnyImage,
    execution: Execution,
    how: Pick<RestoreSpec, 'env' | 'files' | 'stops' | 'number'>,
    { view, hold }: Pick<RestoreSpec, 'view' | 'hold'> = { view: null, hold: false },
  ): Promise<Branch> {
    const { streams, scope, diagnose } = this.#spec
    this.stops = how.stops.some(({ save }) => save !== true)
    const spec = { branch: this.id, ...how, streams, diagnose, view, hold, listener: execution }
    if (isParked(image)) return this.#shop.engine.restore(group.family, image, spec, scope)
    if (image instanceof VmImage) {
      const site = machineSite(this.#shop, this.#run, group, image, this.isPrivate)
      return this.#shop.watchedMachines.restore(site, image, spec, scope)
    }
    if (!(image instanceof ProcessImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    const kind = this.isPrivate ? 'private' : 'shared'
    const { seen } = this.rootIn(group)
    return this.#shop.watched.restore(this.site(group), image, { ...spec, view: kind, seen }, scope)
  }

  /**
   * Its root file system, as an engine is told of it.
   *
   * @throws ThawError UNSUPPORTED for one that is to have files of its own
   */
  rootIn({ root, family }: Group): Pick<ProcessLaunch, 'root' | 'layered'> & { seen: Seen[] } {
    return rootOf(root, this.isPrivate, () => this.#shop.roots.seen(this.#run, family))
  }

  /** Where programs in sandboxes live. */
  site(group: Group): Site {
    return { group: this.#run.sandboxes(this.#shop.log), family: group.family }
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
    this.counted(begun)
    execution.attach(branch, consumed, take)
    if (!this.apart) {
      run.live.add(execution)
      run.branches.push(record)
    }
    if (group !== null) run.groupOf.set(record, group)
    this.#shop.began(run, execution, branch)
    const from = performance.now()
    const endTimer = this.#byTime(execution)
    const done = branch.exited.then(async (exit) => {
      endTimer()
      const notes = branch.notes ?? []
      const told = { ...begun, reason: joined([begun.reason, ...notes]) }
      const report = await this.#finish(group, execution, exit, told, from)
      if (branch.failure) throw branch.failure
      return report
    })
    return this.started(execution, done)
  }

  /** Counts a start, whose outcome is known before its end. */
  counted(begun: Begun): void {
    const { outcome, planned, restored } = begun
    const cold = outcome === 'cold' ? coldReasonOf(begun) : null
    this.#shop.metrics.began(outcome, this.#spec.engine, { plan: planned, restore: restored }, cold)
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
      engine: this.engine,
      relative: (file) => this.#shop.relative(this.#run, file),
      total: seconds(this.#spec.began),
      program,
      cold,
    })
  }

  /** Counted from the end of the one before: a copy of a machine may take longer than that. Returns what ends it. */
  #byTime(execution: Execution): () => void {
    const { every, scope } = this.#spec
    if (every === null) return () => {}
    let timer: NodeJS.Timeout
    let over = false
    const take = async () => {
      // What makes it impossible now is in the record already.
      await execution
        .ask(null, 'moment')
        .catch((error: unknown) => scope.log.debug('no checkpoint by time', { error }))
      if (!over) wait()
    }
    const wait = () => (timer = setTimeout(() => void take(), every * 1000))
    wait()
    return () => {
      over = true
      clearTimeout(timer)
    }
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
      run.settling = run.settling.then(async () => {
        if (run.live.size > 0) return
        if (execution.record.sandbox?.isPrivate !== true)
          run.settle(execution.record, execution.startedAt, left)
        run.prune()
        await keepHistory(run, this.#shop.log)
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
