/** `thaw resume`: one or several branches that go on from a checkpoint somebody chose. */
import { join } from 'node:path'
import type { ResumeSpec, RunReport } from '@thaw/protocol'
import type { FilePatch, StopPlace } from '@thaw/protocol/agent'
import { RestoreRefused, type StreamsSpec } from '../engines/engine.js'
import { ThawError, type Scope } from '../system/index.js'
import { unitTitle } from './changes.js'
import type { RunSink } from './flow.js'
import type { Group } from './group.js'
import { planHot } from './hot.js'
import { Launch, seconds, type Started } from './launch.js'
import { inherit, NO_TERMINAL, writtenUntil, type Checkpoint } from './lineage.js'
import { Machines } from './machines.js'
import { Outside } from './outside.js'
import { makePlan, placeOf, planFrom, type PlanInput } from './plan.js'
import { lookNow } from './present.js'
import type { Begun } from './report.js'
import { ownIn } from './roots.js'
import type { Run } from './run.js'
import { findStops, withStops } from './stops.js'
import type { Workshop } from './workshop.js'

export interface Resumed {
  branches: Started[]
  done: Promise<RunReport>
}

export class Resumer {
  readonly #shop: Workshop
  readonly #run: Run
  readonly #checkpoint: Checkpoint
  readonly #spec: ResumeSpec
  readonly #scope: Scope
  readonly #began: number

  constructor(
    shop: Workshop,
    run: Run,
    checkpoint: Checkpoint,
    spec: ResumeSpec,
    scope: Scope,
    began: number,
  ) {
    this.#shop = shop
    this.#run = run
    this.#checkpoint = checkpoint
    this.#spec = spec
    this.#scope = scope
    this.#began = began
  }

  /**
   * @param sinks where each branch's output goes, as many as there are to be branches
   * @throws ThawError CHECKPOINT_GONE, NOT_EXACT, RUN_BUSY, SYNTAX_ERROR, PLACE_NOT_FOUND, UNSUPPORTED
   */
  async start(sinks: readonly RunSink[]): Promise<Resumed> {
    const checkpoint = this.#checkpoint
    await this.#run.settling
    const { branch } = checkpoint
    if (!branch.watched) return this.#fromOutside(sinks)
    const group = await this.#group()
    if (checkpoint.state !== 'parked' || !checkpoint.image.alive || !group?.alive) {
      throw new ThawError('CHECKPOINT_GONE', `${checkpoint.id} cannot be restored any more.`)
    }
    const streams = this.#streams()
    const { cwd } = this.#run.identity
    const stops = await findStops(this.#spec.breaks, { group, tree: this.#run.tree, cwd, script: null })
    const { files, begun, notes } = await this.#plan(group)
    this.#takeFilesBack()
    begun.planned = seconds(this.#began)
    const patches = withStops(files, checkpoint, stops)
    const begin = (sink: RunSink, number: number): Promise<Started> => {
      return this.#begin(this.#newLaunch(sink, streams), group, patches, stops, number, begun, notes)
    }
    return this.#allOf(sinks.map((sink, i) => begin(sink, i + 1)))
  }

  async #group(): Promise<Group | undefined> {
    const { branch } = this.#checkpoint
    if (branch.engine === 'fork') return this.#run.groupOf.get(branch)
    return await this.#shop.watchers(this.#run, branch.root, this.#run.optimize, this.#scope)
  }

  /** A program that is copied from outside goes on as it stood, in as many sandboxes as there are to be branches. */
  async #fromOutside(sinks: readonly RunSink[]): Promise<Resumed> {
    const checkpoint = this.#checkpoint
    if (checkpoint.state !== 'parked' || !checkpoint.image.alive)
      throw new ThawError('CHECKPOINT_GONE', `${checkpoint.id} cannot be restored any more.`)
    const { breaks, mode, force, break_output, break_listen } = this.#spec
    if (breaks[0] !== undefined || mode === 'hot') {
      const hint =
        mode === 'hot'
          ? 'It goes on as it stood, without --hot.'
          : 'Stop it with --break-output or --break-listen.'
      throw new ThawError('UNSUPPORTED', `${checkpoint.id} is of a program whose code is not known.`, {
        hint,
      })
    }
    const streams = this.#streams()
    // Several at once would write the same files.
    const isPrivate = sinks.length > 1 || this.#run.live.size > 0
    if (checkpoint.branch.engine === 'vm') {
      const machines = new Machines(this.#shop, this.#run, this.#scope)
      const how = { streams, isPrivate, break_output, break_listen }
      return this.#allOf(
        sinks.map((sink) => machines.resume(this.#newLaunch(sink, streams), checkpoint, how, this.#began)),
      )
    }
    const outside = new Outside(this.#shop, this.#run, this.#scope)
    const notice =
      isPrivate && sinks.length === 1
        ? 'the run is live: what this one writes in its directory is gone with it'
        : null
    const how = { streams, force, isPrivate, notice, break_output, break_listen }
    return this.#allOf(
      sinks.map((sink, i) =>
        outside.resume(this.#newLaunch(sink, streams), checkpoint, { ...how, number: i + 1 }, this.#began),
      ),
    )
  }

  #newLaunch(sink: RunSink, streams: StreamsSpec): Launch {
    return new Launch(this.#shop, this.#run, {
      streams,
      settings: this.#spec.settings,
      sink,
      scope: this.#scope,
      engine: this.#checkpoint.image.engine,
      began: this.#began,
      every: this.#spec.every,
      command: this.#run.identity.command,
      below: null,
      diagnose: this.#spec.diagnose ?? null,
    })
  }

  /** All or none. */
  async #allOf(begun: Promise<Started>[]): Promise<Resumed> {
    const settled = await Promise.allSettled(begun)
    const branches = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = settled.find((one) => one.status === 'rejected')
    if (failed !== undefined) {
      // Nobody would follow those that began.
      for (const { execution } of branches) await execution?.branch?.signal('SIGKILL')
      throw failed.reason
    }
    return { branches, done: this.#together(branches) }
  }

  /** The same ones the checkpoint's own branch had: what a program knows of them does not change while it is parked. */
  #streams(): StreamsSpec {
    const { root } = this.#checkpoint.branch
    if (this.#spec.terminal !== null && root.terminal === null) {
      throw new ThawError('UNSUPPORTED', `${this.#checkpoint.id} was run without a terminal.`, {
        hint: 'Resume it without -t, or run the command anew with -t.',
      })
    }
    const terminal = root.terminal === null ? null : (this.#spec.terminal ?? NO_TERMINAL)
    const stdin = root.terminal === 'output' ? 'null' : this.#spec.stdin
    return { stdin, joined: root.joined, terminal }
  }

  async #plan(group: Group): Promise<{ files: FilePatch[]; begun: Begun; notes: string[] }> {
    const checkpoint = this.#checkpoint
    const begun: Begun = {
      outcome: 'resumed',
      checkpoint,
      changed: [],
      reason: null,
      effects: [],
      planned: 0,
      restored: 0,
    }
    const input = this.#input(group)
    if (this.#spec.mode === 'hot') {
      const { files, changed, running } = await planHot(checkpoint, group, input.present)
      begun.changed = changed
      const notes = running.map((unit) => `${unitTitle(unit)} is running and goes on as it was`)
      return { files, begun, notes }
    }
    const plan = await planFrom(input, checkpoint)
    begun.changed = plan.changed
    begun.effects = plan.effects
    if (plan.files !== null) return { files: plan.files, begun, notes: [] }
    // An edit that does not compile is no edit yet: say so, and nothing else.
    for (const { file } of plan.changed) if (file.endsWith('.py')) await group.compiled(file)
    throw new ThawError('NOT_EXACT', `${plan.why}. ${await this.#instead(input)}`, {
      hint: 'Or keep the state as it is and use the new code from here on: --hot.',
    })
  }

  async #instead(input: PlanInput): Promise<string> {
    const plan = await makePlan(input)
    if (plan.kind === 'resume') {
      return `thaw resume ${plan.checkpoint.id} would do: it goes on ${placeOf(plan.checkpoint)}.`
    }
    return 'No checkpoint comes before that: run the command again with `thaw run`.'
  }

  #input(group: Group): PlanInput {
    const run = this.#run
    run.recognizeFiles()
    const { branch } = this.#checkpoint
    return {
      branches: run.branches.filter(({ end, kind, watched }) => end !== null && kind === 'run' && watched),
      present: lookNow(
        branch.env,
        run.tree.modules(),
        this.#shop.sources,
        this.#shop.contents,
        this.#scope,
        ownIn(branch.root.files, run.identity.project),
      ),
      last: run.onDisk,
      oracle: (other) => run.groupOf.get(other) ?? group,
      // What comes on stdin from here on is the caller's; what had been taken stays taken.
      stdin: { samePrefix: () => Promise.resolve(true), sameWhole: () => Promise.resolve(false) },
      disk: run.disk,
      effects: 'keep',
      // In a machine they are part of the checkpoint.
      filesProblem: this.#inMachine ? () => null : run.filesProblem,
      refused: new Map(),
      stops: [],
      replayable: () => false,
    }
  }

  get #inMachine(): boolean {
    return this.#checkpoint.branch.engine === 'vm'
  }

  #takeFilesBack(): void {
    if (this.#inMachine) return
    const { branch, seq } = this.#checkpoint
    const run = this.#run
    const written = writtenUntil(branch, seq)
    if (run.live.size > 0) {
      if (written.size === 0) return
      throw new ThawError('RUN_BUSY', 'The run is live, and its files would be taken back under it.')
    }
    const problem = run.filesProblem(branch, seq)
    if (problem !== null && this.#spec.mode === 'exact') throw new ThawError('NOT_EXACT', `${problem}.`)
    if (problem === null) run.restoreFiles(branch, seq, this.#spec.mode === 'hot')
  }

  async #begin(
    launch: Launch,
    group: Group,
    files: FilePatch[],
    stops: StopPlace[],
    number: number,
    begun: Begun,
    notes: readonly string[],
  ): Promise<Started> {
    const checkpoint = this.#checkpoint
    const { root, env, engine } = checkpoint.branch
    const record = launch.newRecord(root, env, checkpoint, { engine, watched: true })
    // Several at once would write the same files.
    launch.isPrivate = this.#spec.count > 1 || this.#run.live.size > 0
    record.kind = this.#spec.mode
    inherit(record, checkpoint, files)
    const execution = launch.newExecution(record)
    const from = performance.now()
    try {
      const branch = await launch.restore(group, checkpoint.image, execution, {
        env: null,
        files,
        stops,
        number,
      })
      launch.announce()
      void launch.flow.lead([])
      // Units carry a number behind their name, other names do not.
      const left = branch.left.map((one) => `${one.includes('#') ? unitTitle(one) : one} stays as it was`)
      const reason = [...notes, ...left].join('; ') || null
      if (this.#spec.count > 1 && this.#spec.mode === 'exact') {
        execution.onWrite = (seq) => {
          record.broken ??= { seq, why: 'others ran beside it that may have written the same files' }
        }
      }
      const restored = seconds(from)
      return launch.follow(group, execution, branch, 0, { ...begun, reason, restored })
    } catch (error) {
      execution.recorded.close()
      launch.feed.close()
      if (!(error instanceof RestoreRefused)) throw error
      throw new ThawError('NOT_EXACT', `${error.message}.`, { cause: error })
    }
  }

  async #together(branches: readonly Started[]): Promise<RunReport> {
    const reports = await Promise.all(branches.map(({ done }) => done))
    const [first] = reports
    if (first === undefined) throw new ThawError('INTERNAL', 'There was no branch to resume.')
    const failed = reports.find(({ exit }) => exit !== null && (exit.code !== 0 || exit.signal !== null))
    const ended = failed ?? reports.find(({ exit }) => exit !== null) ?? first
    return {
      ...ended,
      seconds: { ...first.seconds, total: seconds(this.#began) },
      branches: reports.map((report, i) => {
        const id = branches[i]?.branch ?? ''
        const directory = this.#run.branchDirectory(id)
        return {
          id,
          exit: report.exit,
          stdout: join(directory, 'stdout'),
          stderr: join(directory, 'stderr'),
          stop: report.outcome === 'stopped' ? (report.checkpoint?.id ?? null) : null,
        }
      }),
    }
  }
}
