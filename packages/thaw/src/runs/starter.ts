/** One start of a run: plan, restore or replay or cold, and the report. */
import { join } from 'node:path'
import type { Change, StartRequest } from '@thaw/protocol'
import type { StopPlace } from '@thaw/protocol/agent'
import { RestoreRefused, type BaseSpec, type StreamsSpec } from '../engines/engine.js'
import { Family } from '../engines/fork/family.js'
import type { Adapted } from '../languages/index.js'
import {
  checkScope,
  grant,
  ownAllowance,
  ThawError,
  withLack,
  type Grant,
  type Scope,
} from '../system/index.js'
import type { RunSink } from './flow.js'
import { Group, misfit, outdated } from './group.js'
import { environmentChange, Launch, seconds, type Started } from './launch.js'
import { chainOf, inherit, refusalAfter, type BranchRecord, type Checkpoint, type Root } from './lineage.js'
import { Machines } from './machines.js'
import { Outside } from './outside.js'
import { startPlain } from './plain.js'
import { makePlan, type Plan } from './plan.js'
import { lookNow } from './present.js'
import type { Begun } from './report.js'
import { readRecord, type StreamName } from './record.js'
import { ownIn } from './roots.js'
import type { Run } from './run.js'
import type { StdinFeed } from './stdin.js'
import { findStops, withStops } from './stops.js'
import type { Workshop } from './workshop.js'

const GROUPS_KEPT = 2
const IN_SANDBOX = { engine: 'process', watched: true } as const

/** Seconds of work that are worth a sandbox: it takes some 0.1 s to begin. */
const WORTH_A_SANDBOX = 0.3

export class Starter {
  readonly #shop: Workshop
  readonly #run: Run
  readonly #adapted: Adapted
  readonly #request: StartRequest
  readonly #sink: RunSink
  readonly #scope: Scope
  readonly #began: number
  readonly #streams: StreamsSpec
  readonly #launch: Launch
  #grant!: Grant
  /** Checkpoints that cannot go on under this edit, and why; for later edits they stay. */
  readonly #refused = new Map<Checkpoint, string>()
  #stops: StopPlace[] = []
  /** Before these, checkpoints are taken. */
  #saves: StopPlace[] = []

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
    this.#run = run
    this.#adapted = adapted
    this.#request = request
    this.#sink = sink
    this.#scope = scope
    this.#streams = { stdin: request.stdin, joined: request.joined, terminal: request.terminal }
    this.#launch = new Launch(shop, run, {
      streams: this.#streams,
      settings: request.settings,
      sink,
      scope,
      engine:
        request.engine === 'vm'
          ? 'vm'
          : this.#outside
            ? 'process'
            : adapted.agent === null
              ? 'plain'
              : 'fork',
      began,
      every: request.every,
      command: request.command,
      below: request.below,
      diagnose: request.diagnose ?? null,
    })
  }

  /** Whether it is copied from outside without an agent: because nothing else can do what was asked for. */
  get #outside(): boolean {
    const { engine, break_output, break_listen, every } = this.#request
    if (engine === 'fork' || engine === 'vm') return false
    const plain =
      this.#adapted.agent === null && (engine === 'process' || every !== null || this.#request.root !== null)
    return break_output !== null || break_listen !== null || plain
  }

  /** Milliseconds since 1970. */
  get #beganAt(): number {
    return Date.now() - (performance.now() - this.#began)
  }

  get feed(): StdinFeed {
    return this.#launch.feed
  }

  async start(): Promise<Started> {
    this.#grant = grant(this.#request.allowance ?? ownAllowance())
    this.#launch.apart = this.#run.live.size > 0
    try {
      await this.#run.settling
      return await this.#start()
    } catch (error) {
      this.feed.close()
      throw error
    }
  }

  async #start(): Promise<Started> {
    const { agent, plainReason } = this.#adapted
    if (this.#request.engine === 'vm') {
      const machines = new Machines(this.#shop, this.#run, this.#scope)
      if (agent === null || this.#request.breaks.length === 0)
        return machines.start(this.#launch, this.#request, this.#root(), this.#began)
      const group = this.#launch.apart
        ? await this.#shop.newWatchers(this.#run, this.#root(), this.#scope)
        : await this.#watchers()
      await this.#findStops(group)
      const how = { ...this.#request, stops: this.#stops }
      return machines.startWatched(this.#launch, group, this.#base(), how, this.#began)
    }
    if (this.#outside) {
      if (this.#request.breaks.length > 0) {
        throw new ThawError(
          'UNSUPPORTED',
          'A program that is copied from outside cannot stop at a place in its code.',
          {
            hint: 'Stop it with --break-output or --break-listen; or leave these and --engine process out.',
          },
        )
      }
      const outside = new Outside(this.#shop, this.#run, this.#scope)
      return outside.start(this.#launch, this.#request, this.#root(), this.#grant, this.#began)
    }
    if (agent === null) {
      const { given } = this.#grant
      const how = {
        root: this.#root(),
        given,
        reason: withLack(plainReason, this.#grant),
        began: this.#began,
      }
      const generic = this.#adapted.language === 'generic'
      return startPlain(this.#shop, this.#run, this.#launch, this.#request, { ...how, generic }, this.#scope)
    }
    if (this.#launch.apart) {
      if (this.#request.engine === 'process') {
        const group = await this.#shop.newWatchers(this.#run, this.#root(), this.#scope)
        await this.#findStops(group)
        return this.#coldInSandbox(group, 'the same command is running already', [])
      }
      const group = await this.#newGroup()
      await this.#findStops(group)
      return this.#coldFrom(group, 'the same command is running already', [])
    }
    const { breaks, fresh, saves = [] } = this.#request
    const here = () => (this.#request.engine === 'process' ? this.#watchers() : this.#keptGroup())
    if (breaks.length > 0 || saves.length > 0) await this.#findStops(await here())
    if (fresh) {
      if (await this.#prefersSandbox(null)) {
        return this.#coldInSandbox(await this.#watchers(), 'a fresh run was asked for', [])
      }
      const group = await this.#keptGroup()
      return this.#coldFrom(group, 'a fresh run was asked for', [])
    }
    for (;;) {
      checkScope(this.#scope, 'planning the run')
      const plan = await this.#plan()
      const planned = seconds(this.#began)
      if (plan.kind === 'replay') return this.#replay(plan.branch, plan, planned)
      if (plan.kind === 'cold') {
        const reason = this.#run.branches.length === 0 ? this.#shop.firstRunReason(this.#run) : plan.reason
        if (await this.#prefersSandbox(null)) {
          return this.#coldInSandbox(await this.#watchers(), this.#moved(reason, null), plan.changed)
        }
        return this.#coldFrom(
          await this.#keptGroup(),
          this.#groupReason ?? this.#withRefusal(reason, null),
          plan.changed,
        )
      }
      if (await this.#prefersSandbox(plan.checkpoint)) {
        const reason = this.#moved(plan.reason, plan.checkpoint)
        return this.#coldInSandbox(await this.#watchers(), reason, plan.changed)
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

  async #findStops(group: Group): Promise<void> {
    const { main } = this.#adapted.agent ?? {}
    const { cwd } = this.#request
    const script = main?.kind === 'script' ? main.name : null
    const { breaks, saves = [] } = this.#request
    const surroundings = { group, tree: this.#run.tree, cwd, script }
    this.#stops = await findStops(breaks, surroundings)
    this.#saves = (await findStops(saves, surroundings)).map((place) => ({ ...place, save: true }))
  }

  #root(): Root {
    return {
      env: this.#request.env,
      terminal: this.#request.terminal === null ? null : this.#request.stdin === 'null' ? 'output' : 'whole',
      joined: this.#request.joined,
      umask: this.#request.umask,
      allowance: this.#request.allowance ?? ownAllowance(),
      network: this.#request.net,
      files: this.#request.root,
      start: null,
    }
  }

  /** Whether a base process of that kind can serve this request. */
  #fits(root: Root): boolean {
    return misfit(root, this.#root()) === null && outdated(root) === null
  }

  /** Whether a program of that branch is of the right engine, and finds what it had: in a sandbox it keeps its kind of stdin. */
  #suits({ engine, streams }: BranchRecord): boolean {
    if (engine === 'fork') return this.#request.engine !== 'process'
    return this.#request.engine !== 'fork' && streams.stdin === this.#request.stdin
  }

  #groupReason: string | null = null

  #group(): Group | null {
    const { groups } = this.#run
    const alive = groups.filter((candidate) => candidate.alive)
    const fitting = alive.filter((candidate) => this.#fits(candidate.root))
    const group = fitting.find(({ base }) => base?.inPlace) ?? null
    if (group === null && fitting.length > 0) this.#groupReason = 'the working directory was replaced'
    else if (group === null && alive.length > 0) {
      const { root } = alive[0] as Group
      this.#groupReason = misfit(root, this.#root()) ?? outdated(root)
    }
    return group
  }

  async #keptGroup(): Promise<Group> {
    const kept = this.#group()
    if (kept !== null) return kept
    const group = await this.#newGroup()
    const { groups } = this.#run
    groups.unshift(group)
    for (const old of groups.slice(GROUPS_KEPT)) await this.#run.dropGroup(old)
    return group
  }

  async #newGroup(): Promise<Group> {
    const { agent, interpreter } = this.#adapted
    if (agent === null || interpreter === null)
      throw new ThawError('INTERNAL', 'A plain program has no base.')
    const { runtime, cache } = this.#shop.paths
    const family = await Family.open(interpreter, runtime, cache, agent.optimize, this.#scope)
    try {
      const base = await this.#shop.engine.prepare(family, this.#base(), this.#scope)
      return new Group({ ...this.#root(), start: base.start }, family, base)
    } catch (error) {
      await family[Symbol.asyncDispose]()
      throw error
    }
  }

  /** For programs in sandboxes: they have no base. */
  #watchers(): Promise<Group> {
    const optimize = this.#adapted.agent?.optimize ?? 0
    return this.#shop.watchers(this.#run, this.#root(), optimize, this.#scope)
  }

  /** How an interpreter with the agent in it is started. */
  #base(): BaseSpec {
    const { agent, interpreter, project } = this.#adapted
    if (agent === null || interpreter === null)
      throw new ThawError('INTERNAL', 'A plain program has no agent.')
    const { env, cwd, umask, settings } = this.#request
    return {
      argv: agent.argv,
      python: interpreter,
      env,
      cwd,
      umask,
      allowance: this.#grant.given,
      setup: {
        project,
        store: this.#run.store,
        // In a root file system of its own whatever it writes is its own, and goes with its checkpoints.
        temp: this.#request.root === null ? env['TMPDIR'] || '/tmp' : '/',
        main: agent.main,
        orig_argv: agent.origArgv,
        min_gap: settings.min_gap,
        factor: settings.factor,
      },
    }
  }

  /**
   * Whether a run that begins anew does so in a sandbox: the last one could not be copied otherwise, and nothing
   * else would make a copy useless.
   *
   * @param instead where it could go on from instead
   */
  async #prefersSandbox(instead: Checkpoint | null): Promise<boolean> {
    const { engine, effects, terminal, net } = this.#request
    if (engine === 'fork' || instead?.branch.engine === 'process') return false
    if (engine === 'process' || net !== 'host') return true
    // Without root a program would find itself to be root there.
    if (process.geteuid?.() !== 0) return false
    const last = this.#run.branches.findLast(({ kind, watched, end }) => kind === 'run' && watched && end)
    if (last === undefined || terminal !== null) return false
    const wanted = last.engine === 'process' || isHeldBack(last, effects === 'keep')
    // Where it is short, or most of it is spared already, the sandbox would cost more than it saves.
    const work = last.end?.work ?? 0
    const again = work - (instead?.work ?? 0)
    if (!wanted || again < WORTH_A_SANDBOX || again < work / 2) return false
    return (await this.#shop.process.missing(this.#scope)) === null
  }

  async #plan(): Promise<Plan> {
    const run = this.#run
    run.recognizeFiles()
    const usable = run.branches.filter(
      (branch) =>
        branch.end !== null &&
        branch.kind === 'run' &&
        branch.watched &&
        this.#fits(branch.root) &&
        this.#suits(branch),
    )
    const watchers = usable.some(({ engine }) => engine === 'process') ? await this.#watchers() : null
    return makePlan({
      branches: usable,
      last: run.onDisk,
      present: lookNow(
        this.#request.env,
        run.tree.modules(),
        this.#shop.sources,
        this.#shop.contents,
        this.#scope,
        ownIn(this.#request.root, this.#adapted.project),
      ),
      oracle: (branch) => {
        const group = branch.engine === 'process' ? watchers : run.groupOf.get(branch)
        if (group?.family.host.alive === true) return group
        const unknown = () => Promise.resolve(null)
        return { diff: unknown, remap: unknown, mentioned: unknown }
      },
      stdin: {
        samePrefix: (branch, bytes) =>
          this.feed.startsLike(join(run.branchDirectory(branch.id), 'stdin'), bytes),
        sameWhole: async (branch) => {
          const { end } = branch
          if (end === null) return false
          const same = await this.feed.startsLike(join(run.branchDirectory(branch.id), 'stdin'), end.stdin)
          return same && (!end.stdinEnded || (await this.feed.endsAt(end.stdin)))
        },
      },
      disk: run.disk,
      effects: this.#request.effects,
      filesProblem: run.filesProblem,
      refused: this.#refused,
      stops: this.#stops,
      replayable: (branch) => branch.broken === null && this.#told(branch),
    })
  }

  /** Whether a branch that failed has told all that this request wants to know of that. */
  #told({ end, failure }: BranchRecord): boolean {
    return this.#request.diagnose === undefined || end?.code === 0 || failure !== null
  }

  #withRefusal(reason: string | null, checkpoint: Checkpoint | null): string | null {
    const why = refusalAfter(this.#run.branches, checkpoint)
    if (why === null) return reason
    return `${reason === null ? '' : `${reason}; `}no checkpoint was possible for a while: ${why}`
  }

  /** Why a run begins anew in a sandbox. */
  #moved(reason: string | null, instead: Checkpoint | null): string | null {
    const held = this.#withRefusal(reason, instead)
    if (this.#run.branches.findLast(({ watched }) => watched)?.engine !== 'fork') return held
    const moved = 'it runs in a sandbox from now on'
    return held === null ? moved : `${held}; ${moved}`
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
    this.#run.renewTimes(branch, Infinity, this.#beganAt)
    this.feed.close()
    this.#launch.engine = branch.engine
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
    const launch = this.#launch
    launch.counted(begun)
    const done = launch.flow.lead(printed.call(this)).then(() => {
      this.#shop.removeDirectory(launch.directory)
      return launch.report(begun, { code: end.code, signal: end.signal }, 0, end.work)
    })
    return { branch: branch.id, execution: null, feed: this.feed, done: launch.told(branch.id, done, null) }
  }

  async #resume(plan: Plan & { kind: 'resume' }, planned: number): Promise<Started> {
    const { checkpoint, files } = plan
    const { engine } = checkpoint.branch
    const group = engine === 'process' ? await this.#watchers() : this.#run.groupOf.get(checkpoint.branch)
    if (group === undefined) throw new ThawError('INTERNAL', 'A checkpoint has lost its processes.')
    this.#run.restoreFiles(checkpoint.branch, checkpoint.seq)
    this.#run.renewTimes(checkpoint.branch, checkpoint.seq, this.#beganAt)
    const launch = this.#launch
    const { root } = checkpoint.branch
    const record = launch.newRecord(root, this.#request.env, checkpoint, { engine, watched: true })
    inherit(record, checkpoint, files)
    const from = performance.now()
    const execution = launch.newExecution(record)
    const branch = await launch
      .restore(group, checkpoint.image, execution, {
        env: environmentChange(checkpoint.branch.env, this.#request.env),
        files: withStops(files, checkpoint, [...this.#stops, ...this.#saves]),
        stops: [...this.#stops, ...this.#saves],
        number: null,
      })
      .catch((error: unknown) => {
        execution.recorded.close()
        throw error
      })
    launch.announce()
    // The program's new output waits behind what it had printed before.
    void launch.flow.lead(this.#printedBefore(checkpoint))
    return launch.follow(group, execution, branch, checkpoint.stdin, {
      outcome: 'resumed',
      checkpoint,
      changed: plan.changed,
      reason: withLack(this.#withRefusal(plan.reason, checkpoint), this.#grant),
      effects: plan.effects,
      planned,
      restored: seconds(from),
    })
  }

  async #coldFrom(group: Group, reason: string | null, changed: Change[]): Promise<Started> {
    if (group.base === null) throw new ThawError('INTERNAL', 'This group has no base.')
    const planned = seconds(this.#began)
    const from = performance.now()
    const launch = this.#launch
    const execution = launch.newExecution(launch.newRecord(group.root, this.#request.env, null))
    const branch = await launch
      .restore(group, group.base, execution, {
        env: environmentChange(group.root.env, this.#request.env),
        files: [],
        stops: [...this.#stops, ...this.#saves],
        number: null,
      })
      .catch(async (error: unknown) => {
        if (launch.apart) await group[Symbol.asyncDispose]()
        else await this.#run.dropGroup(group)
        execution.recorded.close()
        throw error
      })
    launch.announce()
    void launch.flow.lead([])
    const restored = seconds(from)
    const begun = {
      outcome: 'cold' as const,
      checkpoint: null,
      changed,
      reason: withLack(reason, this.#grant),
      effects: [],
      planned,
      restored,
    }
    return launch.follow(group, execution, branch, 0, begun)
  }

  /** From its start, in a sandbox, with the agent in it. */
  async #coldInSandbox(group: Group, reason: string | null, changed: Change[]): Promise<Started> {
    const planned = seconds(this.#began)
    const from = performance.now()
    const launch = this.#launch
    const { net: network, tcp } = this.#request
    const record = launch.newRecord(this.#root(), this.#request.env, null, IN_SANDBOX)
    const execution = launch.newExecution(record)
    launch.stops = this.#stops.length > 0
    const [streams, stops, listener] = [this.#streams, this.#stops, execution]
    const { diagnose = null } = this.#request
    const branch = await this.#shop.watched
      .launch(
        launch.site(group),
        {
          ...this.#base(),
          branch: launch.id,
          streams,
          listener,
          stops,
          diagnose,
          network,
          tcp,
          ...launch.rootIn(group),
        },
        this.#scope,
      )
      .catch(async (error: unknown) => {
        if (launch.apart) await group[Symbol.asyncDispose]()
        execution.recorded.close()
        throw error
      })
    launch.announce()
    void launch.flow.lead([])
    return launch.follow(group, execution, branch, 0, {
      outcome: 'cold',
      checkpoint: null,
      changed,
      reason: withLack(reason, this.#grant),
      effects: [],
      planned,
      restored: seconds(from),
    })
  }
}

/** Whether checkpoints of a branch were impossible for what a copy from outside can hold, before any effect. */
function isHeldBack(branch: BranchRecord, effectsAllowed: boolean): boolean {
  const effect = effectsAllowed ? undefined : branch.events.find(([, kind]) => kind === 'effect')?.[0]
  return branch.refusals.some(({ sandbox, seq }) => sandbox && seq < (effect ?? Infinity))
}
