/** One start of a run: plan, restore or replay or cold, and the report. */
import { join } from 'node:path'
import type { Change, RunReport, RunRequest, RunSettings } from '@thaw/protocol'
import {
  RestoreRefused,
  type Branch,
  type BranchExit,
  type RestoreSpec,
  type StreamsSpec,
} from '../engines/engine.js'
import type { ForkEngine } from '../engines/fork/fork.js'
import { Family } from '../engines/fork/family.js'
import type { Adapted } from '../languages/index.js'
import { checkScope, ThawError, type Scope } from '../system/index.js'
import { Execution } from './execution.js'
import { OutputFlow, type RunSink } from './flow.js'
import { Group, startEnvironment } from './group.js'
import {
  chainOf,
  refusalAfter,
  versionsAt,
  type BranchRecord,
  type Checkpoint,
  type Root,
} from './lineage.js'
import { makePlan, type Plan } from './plan.js'
import { lookNow } from './present.js'
import { reportOf, type Begun } from './report.js'
import { OutputRecord, readRecord, type StreamName } from './record.js'
import type { Run } from './run.js'
import { StdinFeed } from './stdin.js'
import type { Workshop } from './workshop.js'

/** A validated request with its settings decided. */
export interface StartRequest extends Omit<RunRequest, 'engine' | 'effects' | 'quiet'> {
  engine: RunSettings['engine']
  effects: RunSettings['effects']
  settings: RunSettings
}

export interface Started {
  branch: string
  /** Null when there is no program: a replay, or an edit that does not compile. */
  execution: Execution | null
  feed: StdinFeed
  done: Promise<RunReport>
}

const GROUPS_KEPT = 2
const seconds = (from: number, to = performance.now()) => (to - from) / 1000

export class Starter {
  readonly #shop: Workshop
  readonly #engine: ForkEngine
  readonly #run: Run
  readonly #adapted: Adapted
  readonly #request: StartRequest
  readonly #sink: RunSink
  readonly #scope: Scope
  readonly #began: number
  readonly #streams: StreamsSpec
  readonly #branchId: string
  readonly #feed: StdinFeed
  readonly #flow: OutputFlow
  /** Checkpoints that cannot go on under this edit, and why; for later edits they stay. */
  readonly #refused = new Map<Checkpoint, string>()
  /** Runs beside a live run of the same command: shares nothing with it. */
  #apart = false

  constructor(
    shop: Workshop,
    run: Run,
    adapted: Adapted,
    request: StartRequest,
    sink: RunSink,
    scope: Scope,
    began: number,
  ) {
    this.#began = began
    this.#shop = shop
    this.#engine = shop.engine
    this.#run = run
    this.#adapted = adapted
    this.#request = request
    this.#sink = sink
    this.#scope = scope
    this.#streams = { stdin: request.stdin, joined: request.joined, terminal: request.terminal }
    this.#branchId = shop.newId('b')
    shop.makeDirectory(run.branchDirectory(this.#branchId))
    this.#feed = new StdinFeed(join(run.branchDirectory(this.#branchId), 'stdin'), request.stdin === 'null')
    this.#flow = new OutputFlow(sink)
  }

  get feed(): StdinFeed {
    return this.#feed
  }

  async start(): Promise<Started> {
    this.#apart = this.#run.live !== null
    try {
      await this.#run.settling
      return await this.#start()
    } catch (error) {
      this.#feed.close()
      throw error
    }
  }

  async #start(): Promise<Started> {
    const { agent, plainReason } = this.#adapted
    if (agent === null) return this.#plain(plainReason)
    if (this.#apart) return this.#coldFrom(await this.#newGroup(), 'the same command is running already', [])
    if (this.#request.fresh) {
      const group = this.#group() ?? (await this.#keepGroup())
      return this.#coldFrom(group, 'a fresh run was asked for', [])
    }
    for (;;) {
      checkScope(this.#scope, 'planning the run')
      const plan = await this.#plan()
      const planned = seconds(this.#began)
      if (plan.kind === 'replay') return this.#replay(plan.branch, plan, planned)
      if (plan.kind === 'cold') {
        const reason = this.#run.branches.length === 0 ? this.#shop.firstRunReason(this.#run) : plan.reason
        return this.#coldFrom(
          this.#group() ?? (await this.#keepGroup()),
          this.#groupReason ?? this.#withRefusal(reason, null),
          plan.changed,
        )
      }
      try {
        return await this.#resume(plan, planned)
      } catch (error) {
        if (this.#scope.signal.aborted) throw error
        if (error instanceof RestoreRefused) {
          this.#refused.set(plan.checkpoint, error.message)
          continue
        }
        // A checkpoint that fails once is not asked again; the next best one is.
        this.#scope.log.warn('A checkpoint could not be restored.', { id: plan.checkpoint.id, error })
        this.#shop.lose(this.#run, plan.checkpoint)
      }
    }
  }

  #root(): Root {
    return {
      env: this.#request.env,
      terminal: this.#request.terminal !== null,
      joined: this.#request.joined,
      umask: this.#request.umask,
    }
  }

  /** What must be equal for a base process to serve this request. */
  #fits(root: Root): boolean {
    const wanted = this.#root()
    return (
      root.terminal === wanted.terminal &&
      root.joined === wanted.joined &&
      root.umask === wanted.umask &&
      startEnvironment(root.env) === startEnvironment(wanted.env)
    )
  }

  #groupReason: string | null = null

  #group(): Group | null {
    const { groups } = this.#run
    const alive = groups.filter((candidate) => candidate.alive)
    const fitting = alive.filter((candidate) => this.#fits(candidate.root))
    const group = fitting.find(({ base }) => base.inPlace) ?? null
    if (group === null && fitting.length > 0) this.#groupReason = 'the working directory was replaced'
    else if (group === null && alive.length > 0) {
      this.#groupReason =
        'what the interpreter reads when it starts (PATH, PYTHON…, locale, umask, terminal) is not the same'
    }
    return group
  }

  async #keepGroup(): Promise<Group> {
    const group = await this.#newGroup()
    const { groups } = this.#run
    groups.unshift(group)
    for (const old of groups.slice(GROUPS_KEPT)) await this.#run.dropGroup(old)
    return group
  }

  async #newGroup(): Promise<Group> {
    const { agent, interpreter, project } = this.#adapted
    if (agent === null || interpreter === null)
      throw new ThawError('INTERNAL', 'A plain program has no base.')
    const { paths } = this.#shop
    const family = await Family.open(interpreter, paths.runtime, paths.cache, agent.optimize, this.#scope)
    try {
      const base = await this.#engine.prepare(
        family,
        {
          argv: agent.argv,
          python: interpreter,
          env: this.#request.env,
          cwd: this.#request.cwd,
          umask: this.#request.umask,
          setup: {
            project,
            store: this.#run.store,
            temp: this.#request.env['TMPDIR'] || '/tmp',
            main: agent.main,
            orig_argv: agent.origArgv,
            min_gap: this.#request.settings.min_gap,
            factor: this.#request.settings.factor,
          },
        },
        this.#scope,
      )
      return new Group(this.#root(), family, base)
    } catch (error) {
      await family[Symbol.asyncDispose]()
      throw error
    }
  }

  #plan(): Promise<Plan> {
    const run = this.#run
    const usable = run.branches.filter((branch) => branch.end !== null && this.#fits(branch.root))
    return makePlan({
      branches: usable,
      last: run.onDisk,
      present: lookNow(
        this.#request.env,
        run.tree.modules(),
        this.#shop.sources,
        this.#shop.contents,
        this.#scope,
      ),
      oracle: (branch) => {
        const group = run.groupOf.get(branch)
        if (group?.family.host.alive === true) return group
        const unknown = () => Promise.resolve(null)
        return { diff: unknown, remap: unknown, mentioned: unknown }
      },
      stdin: {
        samePrefix: (branch, bytes) =>
          this.#feed.startsLike(join(run.branchDirectory(branch.id), 'stdin'), bytes),
        sameWhole: async (branch) => {
          const { end } = branch
          if (end === null) return false
          const same = await this.#feed.startsLike(join(run.branchDirectory(branch.id), 'stdin'), end.stdin)
          return same && (!end.stdinEnded || (await this.#feed.endsAt(end.stdin)))
        },
      },
      disk: run.disk,
      effects: this.#request.effects,
      filesProblem: run.filesProblem,
      refused: this.#refused,
      replayable: (branch) => branch.broken === null,
    })
  }

  #withRefusal(reason: string | null, checkpoint: Checkpoint | null): string | null {
    const why = refusalAfter(this.#run.branches, checkpoint)
    return reason === null || why === null
      ? reason
      : `${reason}; no checkpoint was possible for a while: ${why}`
  }

  /** Everything printed in the lineage before a point. */
  *#printedBefore(checkpoint: Checkpoint): Generator<[StreamName, Buffer]> {
    const chain = chainOf(checkpoint.branch)
    for (const [i, branch] of chain.entries()) {
      const until = chain[i + 1]?.parent?.offsets ?? checkpoint.offsets
      yield* readRecord(this.#run.branchDirectory(branch.id), until)
    }
  }

  async #replay(branch: BranchRecord, plan: Plan & { kind: 'replay' }, planned: number): Promise<Started> {
    this.#run.restoreFiles(branch, Infinity)
    this.#feed.close()
    this.#sink.started({ run: this.#run.identity.id, branch: branch.id })
    const end = branch.end
    if (end === null) throw new ThawError('INTERNAL', 'A branch without an end was to be replayed.')
    const begun: Begun = {
      outcome: 'replayed',
      checkpoint: null,
      changed: plan.changed,
      reason: null,
      effects: plan.effects,
      planned,
      restored: 0,
    }
    const printed = function* (this: Starter): Generator<[StreamName, Buffer]> {
      if (branch.parent !== null) yield* this.#printedBefore(branch.parent)
      yield* readRecord(this.#run.branchDirectory(branch.id), end.offsets)
    }
    const done = this.#flow.lead(printed.call(this)).then(() => {
      this.#shop.removeDirectory(this.#run.branchDirectory(this.#branchId))
      return this.#report(begun, { code: end.code, signal: end.signal }, 0, end.work)
    })
    return { branch: branch.id, execution: null, feed: this.#feed, done: this.#told(branch.id, done, null) }
  }

  async #resume(plan: Plan & { kind: 'resume' }, planned: number): Promise<Started> {
    const { checkpoint, files } = plan
    const group = this.#run.groupOf.get(checkpoint.branch)
    if (group === undefined) throw new ThawError('INTERNAL', 'A checkpoint has lost its processes.')
    this.#run.restoreFiles(checkpoint.branch, checkpoint.seq)
    const record = this.#newRecord(group, checkpoint)
    for (const [file, hash] of versionsAt(checkpoint.branch, checkpoint.seq))
      record.versions.set(file, { hash, seq: 0 })
    for (const patch of files) {
      record.versions.set(patch.file, { hash: patch.new, seq: 0 })
      // Under a running frame, or by binding names anew in a module that had run.
      for (const unit of patch.changed) record.rebased.add(`${patch.file}\0${unit}`)
    }
    const from = performance.now()
    const execution = this.#newExecution(record)
    const branch = await this.#restore(group, checkpoint.image, execution, {
      env: environmentChange(checkpoint.branch.env, this.#request.env),
      files,
    }).catch((error: unknown) => {
      execution.recorded.close()
      throw error
    })
    this.#sinkStarted()
    // The program's new output waits behind what it had printed before.
    void this.#flow.lead(this.#printedBefore(checkpoint))
    return this.#follow(group, execution, branch, checkpoint.stdin, {
      outcome: 'resumed',
      checkpoint,
      changed: plan.changed,
      reason: this.#withRefusal(plan.reason, checkpoint),
      effects: plan.effects,
      planned,
      restored: seconds(from),
    })
  }

  async #coldFrom(group: Group, reason: string | null, changed: Change[]): Promise<Started> {
    const planned = seconds(this.#began)
    const from = performance.now()
    const execution = this.#newExecution(this.#newRecord(group, null))
    const branch = await this.#restore(group, group.base, execution, {
      env: environmentChange(group.root.env, this.#request.env),
      files: [],
    }).catch(async (error: unknown) => {
      if (this.#apart) await group[Symbol.asyncDispose]()
      else await this.#run.dropGroup(group)
      execution.recorded.close()
      throw error
    })
    this.#sinkStarted()
    void this.#flow.lead([])
    const restored = seconds(from)
    const begun = {
      outcome: 'cold' as const,
      checkpoint: null,
      changed,
      reason,
      effects: [],
      planned,
      restored,
    }
    return this.#follow(group, execution, branch, 0, begun)
  }

  async #plain(reason: string | null): Promise<Started> {
    const planned = seconds(this.#began)
    const family = await Family.open(
      await this.#shop.anyPython(this.#scope),
      this.#shop.paths.runtime,
      this.#shop.paths.cache,
      0,
      this.#scope,
    )
    const execution = this.#newExecution(this.#newRecord(null, null))
    const from = performance.now()
    let branch: Branch
    try {
      branch = await this.#engine.launch(
        family,
        {
          branch: this.#branchId,
          argv: this.#request.command,
          env: this.#request.env,
          cwd: this.#request.cwd,
          umask: this.#request.umask,
          streams: this.#streams,
          listener: execution,
        },
        this.#scope,
      )
    } catch (error) {
      await family[Symbol.asyncDispose]()
      execution.recorded.close()
      throw error
    }
    this.#sinkStarted()
    void this.#flow.lead([])
    execution.attach(branch, 0)
    this.#shop.began(this.#run, execution, branch)
    const begun: Begun = {
      outcome: 'cold',
      checkpoint: null,
      changed: [],
      reason,
      effects: [],
      planned,
      restored: seconds(from),
    }
    const done = branch.exited.then(async (exit) => {
      execution.finish(exit)
      await this.#flow.finished()
      await family[Symbol.asyncDispose]()
      this.#shop.ended(this.#run, execution, exit)
      return this.#report(begun, exit, seconds(from), null)
    })
    return {
      branch: this.#branchId,
      execution,
      feed: this.#feed,
      done: this.#told(this.#branchId, done, execution),
    }
  }

  #restore(
    group: Group,
    image: Checkpoint['image'],
    execution: Execution,
    how: Pick<RestoreSpec, 'env' | 'files'>,
  ): Promise<Branch> {
    return this.#engine.restore(
      group.family,
      image,
      { branch: this.#branchId, ...how, streams: this.#streams, listener: execution },
      this.#scope,
    )
  }

  #follow(group: Group, execution: Execution, branch: Branch, consumed: number, begun: Begun): Started {
    const run = this.#run
    const { record } = execution
    execution.attach(branch, consumed)
    if (!this.#apart) {
      run.live = execution
      run.branches.push(record)
    }
    run.groupOf.set(record, group)
    this.#shop.began(run, execution, branch)
    const from = performance.now()
    const done = branch.exited.then((exit) => this.#finish(group, execution, exit, begun, from))
    return {
      branch: this.#branchId,
      execution,
      feed: this.#feed,
      done: this.#told(this.#branchId, done, execution),
    }
  }

  async #finish(
    group: Group,
    execution: Execution,
    exit: BranchExit,
    begun: Begun,
    from: number,
  ): Promise<RunReport> {
    const run = this.#run
    const program = seconds(from)
    execution.finish(exit)
    await this.#flow.finished()
    this.#shop.ended(run, execution, exit)
    if (this.#apart) {
      run.groupOf.delete(execution.record)
      await group[Symbol.asyncDispose]()
    } else {
      run.live = null
      const left = join(run.identity.directory, 'left', execution.record.id)
      run.settling = Promise.resolve().then(() => {
        run.settle(execution.record, execution.startedAt, left)
        run.prune()
      })
    }
    const cold = begun.checkpoint === null ? null : begun.checkpoint.work + program
    return this.#report(begun, exit, program, cold)
  }

  #newRecord(group: Group | null, parent: Checkpoint | null): BranchRecord {
    return {
      id: this.#branchId,
      root: group?.root ?? this.#root(),
      env: this.#request.env,
      parent,
      modules: group === null ? new Map() : this.#run.tree.modules(),
      events: [],
      answers: new Map(),
      writes: [],
      checkpoints: [],
      versions: new Map(),
      rebased: new Set(),
      broken: null,
      refusals: [],
      left: new Map(),
      end: null,
    }
  }

  #newExecution(record: BranchRecord): Execution {
    const output = new OutputRecord(this.#run.branchDirectory(record.id), this.#request.settings.output)
    return new Execution(record, output, this.#flow, this.#feed, this.#shop.contents, {
      checkpoint: (checkpoint) => this.#shop.keep(this.#run, checkpoint, this.#request.settings.checkpoints),
      refused: (work, why) => this.#shop.refused(record.id, work, why),
      newCheckpointId: () => this.#shop.newId('c'),
    })
  }

  #isStarted = false
  #sinkStarted(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    this.#sink.started({ run: this.#run.identity.id, branch: this.#branchId })
  }

  async #told(branch: string, done: Promise<RunReport>, execution: Execution | null): Promise<RunReport> {
    try {
      const report = await done
      this.#shop.tell(this.#run, branch, report)
      return report
    } finally {
      execution?.settled()
    }
  }

  #report(
    begun: Begun,
    exit: { code: number | null; signal: string | null },
    program: number,
    cold: number | null,
  ): RunReport {
    return reportOf(begun, exit, {
      run: this.#run.identity.id,
      engine: this.#adapted.agent === null ? 'plain' : 'fork',
      relative: (file) => this.#shop.relative(this.#run, file),
      total: seconds(this.#began),
      program,
      cold,
    })
  }
}

/** Variables to set and (null) to unset; null when nothing differs. */
function environmentChange(
  then: Record<string, string>,
  now: Record<string, string>,
): Record<string, string | null> | null {
  const change: Record<string, string | null> = {}
  for (const [name, value] of Object.entries(now)) if (then[name] !== value) change[name] = value
  for (const name of Object.keys(then)) if (!(name in now)) change[name] = null
  return Object.keys(change).length === 0 ? null : change
}
