/** One start of a run: plan, restore or replay or cold, and the report. */
import { join } from 'node:path'
import type { Change, StartRequest } from '@thaw/protocol'
import type { StopPlace } from '@thaw/protocol/agent'
import { isParked, RestoreRefused, type Branch, type StreamsSpec } from '../engines/engine.js'
import { Family } from '../engines/fork/family.js'
import { launcherEnvironment, type Adapted } from '../languages/index.js'
import { checkScope, grant, ownAllowance, ThawError, type Grant, type Scope } from '../system/index.js'
import type { RunSink } from './flow.js'
import { Group, misfit } from './group.js'
import { environmentChange, Launch, seconds, type Started } from './launch.js'
import { chainOf, inherit, refusalAfter, type BranchRecord, type Checkpoint, type Root } from './lineage.js'
import { Outside } from './outside.js'
import { makePlan, type Plan } from './plan.js'
import { lookNow } from './present.js'
import type { Begun } from './report.js'
import { readRecord, type StreamName } from './record.js'
import type { Run } from './run.js'
import type { StdinFeed } from './stdin.js'
import { findStops, withStops } from './stops.js'
import type { Workshop } from './workshop.js'

const GROUPS_KEPT = 2

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
      engine: this.#outside ? 'process' : adapted.agent === null ? 'plain' : 'fork',
      began,
      every: request.every,
      command: request.command,
      below: request.below,
      diagnose: request.diagnose ?? null,
    })
  }

  /** Whether it is to be copied from outside: so asked for, or because nothing else can do what was asked for. */
  get #outside(): boolean {
    const { engine, break_output, break_listen, every } = this.#request
    if (engine !== 'auto') return engine === 'process'
    return break_output !== null || break_listen !== null || (every !== null && this.#adapted.agent === null)
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
      return outside.start(this.#launch, this.#request, this.#root(), this.#began)
    }
    if (agent === null) return this.#plain(plainReason)
    if (this.#launch.apart) {
      const group = await this.#newGroup()
      await this.#findStops(group)
      return this.#coldFrom(group, 'the same command is running already', [])
    }
    const { breaks, fresh, saves = [] } = this.#request
    if (breaks.length > 0 || saves.length > 0)
      await this.#findStops(this.#group() ?? (await this.#keepGroup()))
    if (fresh) {
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
    }
  }

  /** Whether a base process of that kind can serve this request. */
  #fits(root: Root): boolean {
    return misfit(root, this.#root()) === null
  }

  #groupReason: string | null = null

  #group(): Group | null {
    const { groups } = this.#run
    const alive = groups.filter((candidate) => candidate.alive)
    const fitting = alive.filter((candidate) => this.#fits(candidate.root))
    const group = fitting.find(({ base }) => base.inPlace) ?? null
    if (group === null && fitting.length > 0) this.#groupReason = 'the working directory was replaced'
    else if (group === null && alive.length > 0) {
      this.#groupReason = misfit((alive[0] as Group).root, this.#root())
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
      const base = await this.#shop.engine.prepare(
        family,
        {
          argv: agent.argv,
          python: interpreter,
          env: this.#request.env,
          cwd: this.#request.cwd,
          umask: this.#request.umask,
          allowance: this.#grant.given,
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
    run.recognizeFiles()
    const usable = run.branches.filter(
      ({ end, kind, engine, root }) =>
        end !== null && kind === 'run' && engine === 'fork' && this.#fits(root),
    )
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

  #withGrant(reason: string | null): string | null {
    const { lacking } = this.#grant
    return lacking === null || reason === null ? (reason ?? lacking) : `${reason}; ${lacking}`
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
    if (this.#request.below !== null) this.#run.renewTimes(branch, Infinity)
    this.feed.close()
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
    const done = launch.flow.lead(printed.call(this)).then(() => {
      this.#shop.removeDirectory(launch.directory)
      return launch.report(begun, { code: end.code, signal: end.signal }, 0, end.work)
    })
    return { branch: branch.id, execution: null, feed: this.feed, done: launch.told(branch.id, done, null) }
  }

  async #resume(plan: Plan & { kind: 'resume' }, planned: number): Promise<Started> {
    const { checkpoint, files } = plan
    const group = this.#run.groupOf.get(checkpoint.branch)
    if (group === undefined) throw new ThawError('INTERNAL', 'A checkpoint has lost its processes.')
    this.#run.restoreFiles(checkpoint.branch, checkpoint.seq)
    if (this.#request.below !== null) this.#run.renewTimes(checkpoint.branch, checkpoint.seq)
    const launch = this.#launch
    const record = launch.newRecord(group.root, this.#request.env, checkpoint)
    inherit(record, checkpoint, files)
    const from = performance.now()
    const execution = launch.newExecution(record)
    const { image } = checkpoint
    if (!isParked(image)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    const branch = await launch
      .restore(group, image, execution, {
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
      reason: this.#withGrant(this.#withRefusal(plan.reason, checkpoint)),
      effects: plan.effects,
      planned,
      restored: seconds(from),
    })
  }

  async #coldFrom(group: Group, reason: string | null, changed: Change[]): Promise<Started> {
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
      reason: this.#withGrant(reason),
      effects: [],
      planned,
      restored,
    }
    return launch.follow(group, execution, branch, 0, begun)
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
    const launch = this.#launch
    const execution = launch.newExecution(launch.newRecord(this.#root(), this.#request.env, null))
    const from = performance.now()
    let branch: Branch
    try {
      branch = await this.#shop.engine.launch(
        family,
        {
          branch: launch.id,
          argv: this.#request.command,
          env: this.#plainEnvironment(),
          cwd: this.#request.cwd,
          umask: this.#request.umask,
          allowance: this.#grant.given,
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
    launch.announce()
    void launch.flow.lead([])
    execution.attach(branch, 0)
    this.#shop.began(this.#run, execution, branch)
    const begun: Begun = {
      outcome: 'cold',
      checkpoint: null,
      changed: [],
      reason: this.#withGrant(reason),
      effects: [],
      planned,
      restored: seconds(from),
    }
    const done = branch.exited.then(async (exit) => {
      execution.finish(exit)
      await launch.flow.finished()
      await family[Symbol.asyncDispose]()
      this.#shop.ended(this.#run, execution, exit)
      return launch.report(begun, exit, seconds(from), null)
    })
    return launch.started(execution, done)
  }

  #plainEnvironment(): Record<string, string> {
    const { env, typed, flags, settings } = this.#request
    if (this.#adapted.language !== 'generic' || !settings.launchers) return env
    const { socket } = this.#shop.paths
    return launcherEnvironment(env, {
      token: this.#launch.opened(),
      socket,
      daemon: process.pid,
      typed,
      flags,
    })
  }
}
