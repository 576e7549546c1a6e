/** All runs of one daemon. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  type AttachFrom,
  type CheckpointNode,
  type Collected,
  type Exported,
  type DaemonSettings,
  type Finding,
  type ImportedCheckpoint,
  type ResumeSpec,
  type RunInputs,
  type RunReport,
  type RunSummary,
  type RunTree,
  type SignalName,
  type StartRequest,
  type VerifyReport,
} from '@thaw/protocol'
import type { FailureMessage } from '@thaw/protocol/agent'
import {
  adapt,
  describeInterpreter,
  findProgram,
  findProject,
  whyNotResumable,
  withoutLauncher,
} from '../languages/index.js'
import type { Journal, RunRow } from '../store/index.js'
import { openScope, ThawError, type Log, type Metrics, type Paths, type Scope } from '../system/index.js'
import { Collector } from './collector.js'
import { summaryOf, treeOf } from './listing.js'
import { exportCheckpoint, importCheckpoint } from './exchange.js'
import { OutputFlow, type RunSink } from './flow.js'
import { recallHistory } from './history.js'
import { inputsOf } from './inputs.js'
import { revive, watchedImage } from './kept.js'
import type { BranchRecord, Checkpoint, Offsets } from './lineage.js'
import { printedBy, printedOn } from './printed.js'
import type { StreamName } from './record.js'
import { Run, type RunIdentity } from './run.js'
import type { Started } from './launch.js'
import { Resumer } from './resumer.js'
import { Starter } from './starter.js'
import { Trial, type TrialSpec } from './trial.js'
import { Verifier } from './verify/verifier.js'
import { Workshop } from './workshop.js'

export interface RunHandle<Done = void> {
  /** Resolves when the next piece may be sent. */
  stdin(chunk: Uint8Array): Promise<void>
  stdinEnd(): void
  signal(name: SignalName): Promise<void>
  resize(rows: number, cols: number): Promise<void>
  readonly done: Promise<Done>
}

/** What tells runs apart that have a root file system of their own; undefined: the machine's. */
function placeOf({ root, engine }: StartRequest): string | undefined {
  return root === null ? undefined : engine === 'vm' ? `vm:${root.directory}` : root.directory
}

/** How long a program may take to say where it stands. Milliseconds. */
const STANDING_TIME = 3000

export class Runs implements AsyncDisposable {
  readonly #shop: Workshop
  readonly #journal: Journal
  readonly #settings: DaemonSettings
  readonly #verifier: Verifier
  readonly #collector: Collector
  /** Starts of one run go one after the other up to the point where its program runs. */
  readonly #turns = new Map<string, Promise<unknown>>()
  readonly #expiry: NodeJS.Timeout
  /** Commands on their way to a program. */
  #starting = 0

  private constructor(shop: Workshop, journal: Journal, settings: DaemonSettings) {
    this.#shop = shop
    this.#journal = journal
    this.#settings = settings
    this.#verifier = new Verifier(shop, journal)
    this.#collector = new Collector(shop, journal, {
      budget: settings.disk,
      remove: (id) => this.#forget(id),
    })
    this.#expiry = setInterval(() => {
      this.#expire()
        .then(() => (this.#verifier.busy ? 0 : this.#collector.fit()))
        .catch((error: unknown) => shop.log.warn('What is kept could not be thinned.', { error }))
    }, 60_000).unref()
  }

  static create(options: {
    paths: Paths
    journal: Journal
    log: Log
    metrics: Metrics
    settings: DaemonSettings
  }): Promise<Runs> {
    const { paths, journal, log, metrics, settings } = options
    // An import that a kill has ended.
    rmSync(paths.imports, { recursive: true, force: true })
    const shop = new Workshop(paths, journal, log, metrics, settings)
    // FIFOs and sockets of a daemon that was killed; its processes ended with it.
    for (const name of readdirSync(paths.runtime)) {
      if (/^f[A-Za-z0-9]{6}$/.test(name)) rmSync(join(paths.runtime, name), { recursive: true, force: true })
    }
    return Promise.resolve(new Runs(shop, journal, settings))
  }

  async start(request: StartRequest, sink: RunSink, scope: Scope): Promise<RunHandle<RunReport>> {
    this.#starting++
    let ready: Promise<unknown> = Promise.resolve()
    try {
      // A `thaw run` within a launcher's script is a run like any other.
      const begun = await this.#start({ ...request, env: withoutLauncher(request.env) }, sink, scope)
      ready = begun.ready
      return begun.handle
    } finally {
      const settled = () => void this.#starting--
      ready.then(settled, settled)
    }
  }

  async #start(
    given: StartRequest,
    sink: RunSink,
    scope: Scope,
  ): Promise<{ handle: RunHandle<RunReport>; ready: Promise<unknown> }> {
    const began = performance.now()
    const { command, cwd, root } = given
    if (!existsSync(cwd)) throw new ThawError('DIRECTORY_GONE', `${cwd} does not exist.`)
    const there = root === null ? null : findProject(cwd, null, given.env['HOME'])
    const inside =
      root === null || there === null ? {} : { inside: this.#shop.roots.inside(root, there, scope) }
    const adapted = await adapt({ command, cwd, env: given.env, ...inside }, scope)
    const request = { ...given, env: adapted.env }
    const run = this.#runFor(command, cwd, adapted.interpreter, adapted.project, 1, placeOf(given))
    const starter = new Starter(this.#shop, run, adapted, request, sink, scope, began)
    run.starting++
    const first = this.#inTurn(run, () => this.#begin(run, starter))
    // The caller may send stdin while the plan is being made, which needs it: the handle exists at once.
    const { feed } = starter
    let started: Started | null = null
    const ready = first.then((value) => (started = value))
    const early = Promise.race([ready, feed.needed.then(() => null)])
    await early
    const done = started === null ? ready.then((value) => value.done) : (started as Started).done
    done.catch(() => {})
    return { handle: this.#handle(feed, ready, done), ready }
  }

  /** A command that never came to a program leaves nothing. */
  async #begin(run: Run, starter: Starter): Promise<Started> {
    try {
      return await starter.start()
    } catch (error) {
      const { id } = run.identity
      if (run.starting === 1 && this.#journal.listBranches(id).length === 0) {
        await this.remove(id, { cascade: true, force: true })
      }
      throw error
    } finally {
      run.starting--
    }
  }

  /** @param sinks as many as there are to be branches */
  async resume(
    id: string,
    spec: ResumeSpec,
    sinks: readonly RunSink[],
    scope: Scope,
  ): Promise<RunHandle<RunReport>> {
    const began = performance.now()
    const { run, checkpoint } = this.#checkpoint(id)
    run.lastAt = Date.now()
    const resumer = new Resumer(this.#shop, run, checkpoint, spec, scope, began)
    const { branches, done } = await this.#inTurn(run, () => resumer.start(sinks))
    done.catch(() => {})
    const each = async (act: (started: Started) => Promise<void> | void) => {
      await Promise.allSettled(branches.map(act))
    }
    return {
      stdin: (chunk) => each(({ feed }) => feed.take(chunk)),
      stdinEnd: () => void each(({ feed }) => feed.end()),
      signal: (name) => each(({ execution }) => execution?.signal(name)),
      resize: (rows, cols) => each(({ execution }) => execution?.branch?.resize({ rows, cols })),
      done,
    }
  }

  /**
   * Tries an edit in a branch beside the run, with a copy of the project.
   *
   * @throws ThawError UNSUPPORTED where it could not be kept apart
   */
  async try(
    spec: TrialSpec,
    sink: RunSink,
    scope: Scope,
  ): Promise<RunHandle<RunReport> & { record: BranchRecord }> {
    const trial = new Trial(this.#shop, spec, sink, scope)
    const { started, record } = await this.#inTurn(spec.run, () => trial.start())
    started.done.catch(() => {})
    return { ...this.#handle(trial.feed, Promise.resolve(started), started.done), record }
  }

  /** A checkpoint of what is live of a run, or of a branch. @throws ThawError RUN_NOT_FOUND, and what makes it impossible */
  async checkpoint(id: string, name: string | null): Promise<CheckpointNode> {
    const live = [...this.#shop.live.values()].reverse()
    const found = live.find(({ run, branch }) => branch.id === id || run.identity.id === id)
    if (found === undefined) {
      throw new ThawError('RUN_NOT_FOUND', `${id} is not running.`, {
        hint: 'Only a live program is copied; `thaw tree` shows the checkpoints that are there.',
      })
    }
    const taken = await found.execution.ask(name)
    const node = this.tree(found.run.identity.id).checkpoints.find((one) => one.id === taken.id)
    if (node === undefined) throw new ThawError('INTERNAL', 'The checkpoint was not recorded.')
    return node
  }

  /** Writes a checkpoint on disk into a file. */
  async export(id: string, file: string): Promise<Exported> {
    const { run, checkpoint } = this.#checkpoint(id)
    return await exportCheckpoint(this.#shop, this.#journal, run, checkpoint, file)
  }

  /** Makes a checkpoint of a file that `export` has written. */
  async import(file: string): Promise<ImportedCheckpoint> {
    const runFor = ({ command, cwd, interpreter }: Pick<RunRow, 'command' | 'cwd' | 'interpreter'>) =>
      this.#runFor(command, cwd, interpreter, findProject(cwd, null), 0)
    const scope = openScope(this.#shop.log)
    const { id, run, warnings } = await importCheckpoint(this.#shop, this.#journal, file, runFor, scope)
    const checkpoint = this.tree(run).checkpoints.find((one) => one.id === id)
    if (checkpoint === undefined) throw new ThawError('INTERNAL', 'The checkpoint was not recorded.')
    return { checkpoint, warnings }
  }

  /** What rooms that work with runs share with them. */
  get workshop(): Workshop {
    return this.#shop
  }

  /** All that is known of a branch; null for a program that ran plainly, or longer ago than is remembered. */
  recordOf(run: string, branch: string): BranchRecord | null {
    return this.#shop.runs.get(run)?.branches.find(({ id }) => id === branch) ?? null
  }

  /** Where a live program stands; null where it does not say so in time: it is inside of one long call. */
  async standing(branch: string): Promise<FailureMessage | null> {
    const live = this.#shop.live.get(branch)
    if (live === undefined) return null
    const told = new Promise<void>((resolve) => (live.execution.onFailure = resolve))
    await live.branch.askStanding?.()
    await Promise.race([told, new Promise((resolve) => setTimeout(resolve, STANDING_TIME).unref())])
    return live.execution.record.failure
  }

  /** Compares what was recorded of a run, or of one branch, with a cold run. */
  async verify(id: string, redoEffects: boolean, scope: Scope): Promise<VerifyReport> {
    const branch = this.#journal.getBranch(id)
    const run = this.#shop.runs.get(branch?.run ?? id)
    if (run === undefined) {
      throw new ThawError('NOT_VERIFIABLE', `What ${id} ran on ended with its daemon.`)
    }
    const inTurn = <T>(work: () => Promise<T>) => this.#inTurn(run, work)
    return this.#verifier.verify(run, branch?.id ?? null, redoEffects, inTurn, scope)
  }

  async attach(branch: string, from: AttachFrom, sink: RunSink): Promise<RunHandle> {
    const live = this.#shop.live.get(branch)
    const printed = (until?: Offsets) => printedBy(this.#journal, this.#shop.paths.runs, branch, until)
    if (live === undefined) {
      if (from === 'now') throw new ThawError('RUN_NOT_FOUND', `${branch} is not running.`)
      return this.#repeat(branch, printed(), sink)
    }
    sink.started({ run: live.run.identity.id, branch })
    const leave = live.execution.watch(
      sink,
      from === 'start' ? printed(live.execution.recorded.offsets()) : [],
    )
    const done = live.execution.finished.then(leave)
    done.catch(() => {})
    return {
      stdin: (chunk) => live.execution.feed.take(chunk),
      stdinEnd: () => {},
      signal: (name) => live.execution.signal(name),
      resize: (rows, cols) => live.branch.resize({ rows, cols }),
      done,
    }
  }

  /** What a branch that has ended had printed. */
  #repeat(branch: string, printed: Iterable<[StreamName, Uint8Array]>, sink: RunSink): RunHandle {
    sink.started({ run: this.#journal.getBranch(branch)?.run ?? '', branch })
    const nothing = () => Promise.resolve()
    return {
      stdin: nothing,
      stdinEnd: () => {},
      signal: nothing,
      resize: nothing,
      done: new OutputFlow(sink).lead(printed),
    }
  }

  passedBelow(launch: string, command: string[], reason: string): void {
    this.#shop.launches.passed(launch, command, reason)
  }

  list(): RunSummary[] {
    return this.#journal.listRuns().map((row) => summaryOf(this.#shop, this.#journal, row))
  }

  get(id: string): RunSummary | undefined {
    const row = this.#journal.getRun(id)
    return row === undefined ? undefined : summaryOf(this.#shop, this.#journal, row)
  }

  tree(id: string): RunTree {
    return treeOf(this.#shop, this.#journal, id)
  }

  inputs(id: string): RunInputs {
    const run = this.#shop.runs.get(id)
    if (run === undefined) throw new ThawError('RUN_NOT_FOUND', `${id} was not run by this daemon.`)
    return inputsOf(run)
  }

  logs(branch: string, stream: 'stdout' | 'stderr'): AsyncIterable<Uint8Array> {
    if (this.#journal.getBranch(branch) === undefined)
      throw new ThawError('RUN_NOT_FOUND', `There is no branch ${branch}.`)
    return printedOn(this.#journal, this.#shop.paths.runs, branch, stream)
  }

  async stop(id: string): Promise<string[]> {
    const stopped: string[] = []
    for (const [branchId, { run, branch, execution }] of this.#shop.live) {
      if (branchId !== id && run.identity.id !== id) continue
      await execution.signal('SIGTERM')
      const timer = setTimeout(() => void branch.signal('SIGKILL'), 2000)
      await execution.finished
      clearTimeout(timer)
      stopped.push(branchId)
    }
    return stopped
  }

  async remove(id: string, how: { cascade: boolean; force: boolean }): Promise<string[]> {
    const checkpoint = this.#journal.getCheckpoint(id)
    if (checkpoint !== undefined) return this.#removeCheckpoint(id, checkpoint.run, how)
    if (this.#journal.getRun(id) === undefined) throw new ThawError('RUN_NOT_FOUND', `There is no run ${id}.`)
    if ([...this.#shop.live.values()].some(({ run }) => run.identity.id === id)) {
      if (!how.force) throw new ThawError('RUN_BUSY', `${id} is running.`)
      await this.stop(id)
    }
    await this.#forget(id)
    return [id]
  }

  /** A run that nothing is live of, with all that it left. */
  async #forget(id: string): Promise<void> {
    const run = this.#shop.runs.get(id)
    // A start from here on is that of a new run.
    this.#shop.runs.delete(id)
    this.#journal.forgetRun(id)
    await run?.dispose()
    const directory = join(this.#shop.paths.runs, id)
    await this.#shop.keeper.release(directory)
    rmSync(directory, { recursive: true, force: true })
  }

  /** What nothing needs goes, then what is over the budgets. */
  collect(): Promise<Collected> {
    return this.#collector.collect()
  }

  async doctor(): Promise<Finding[]> {
    const scope = openScope(this.#shop.log)
    const env = process.env as Record<string, string>
    const path = findProgram('python3', '/', env)
    const interpreter = path === null ? null : await describeInterpreter(path, '/', env, scope)
    const version = interpreter?.version.join('.') ?? ''
    const unable = interpreter === null ? 'There is no python3 to ask' : whyNotResumable(interpreter)
    const findings: Finding[] = [
      {
        name: 'python',
        ok: unable === null,
        detail:
          interpreter === null
            ? 'no python3 on PATH'
            : `${interpreter.executable} is ${interpreter.implementation} ${version}`,
        fix:
          unable === null
            ? null
            : `${unable}; others run plainly. Install one, or use a virtual environment of it.`,
      },
    ]
    for (const ability of await this.#shop.engine.probe()) {
      findings.push({ name: `engine fork`, ok: ability.works, detail: ability.name, fix: ability.reason })
    }
    return findings
  }

  /** Whether something lives only in memory. */
  busy(): boolean {
    return (
      this.#starting > 0 ||
      this.#verifier.busy ||
      this.live() > 0 ||
      [...this.#shop.runs.values()].some((run) => run.groups.some((group) => group.alive))
    )
  }

  live(): number {
    return this.#shop.live.size
  }

  memory(): number {
    return this.#shop.memory()
  }

  parked(): number {
    return [...this.#shop.runs.values()].reduce((sum, run) => sum + run.parked().length, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#expiry)
    await this.#verifier[Symbol.asyncDispose]()
    for (const run of this.#shop.runs.values()) for (const c of run.inMemory()) this.#shop.drop(run, c)
    for (const { branch } of this.#shop.live.values()) await branch.signal('SIGKILL').catch(() => {})
    await Promise.all([...this.#shop.runs.values()].map((run) => run.dispose()))
    await this.#shop.close()
  }

  #inTurn<T>(run: Run, work: () => Promise<T>): Promise<T> {
    const id = run.identity.id
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(work)
    this.#turns.set(
      id,
      turn.catch(() => {}),
    )
    return turn
  }

  #handle(feed: Starter['feed'], ready: Promise<Started>, done: Promise<RunReport>): RunHandle<RunReport> {
    const branch = async () => (await ready).execution?.branch ?? null
    return {
      stdin: (chunk) => feed.take(chunk),
      stdinEnd: () => feed.end(),
      signal: async (name) => {
        await (await ready).execution?.signal(name)
      },
      resize: async (rows, cols) => {
        await (await branch())?.resize({ rows, cols })
      },
      done,
    }
  }

  /**
   * @param times how often it is run now
   * @param root its root file system, where it is not the machine's
   */
  #runFor(
    command: string[],
    cwd: string,
    interpreter: string | null,
    project: string,
    times = 1,
    root?: string,
  ): Run {
    const identity = createHash('sha1')
      .update(JSON.stringify([command, cwd, interpreter, ...(root === undefined ? [] : [root])]))
      .digest('hex')
    const row = this.#journal.findRun(identity)
    const now = Date.now()
    const id = row?.id ?? this.#shop.newId('r')
    const run =
      this.#shop.runs.get(id) ??
      this.#recalled({
        id,
        command,
        cwd,
        interpreter,
        project,
        createdAt: row?.createdAt ?? now,
        directory: join(this.#shop.paths.runs, id),
      })
    run.timesRun = (row?.timesRun ?? 0) + times
    run.lastAt = now
    this.#shop.runs.set(id, run)
    this.#journal.recordRun({
      id,
      identity,
      command,
      cwd,
      interpreter,
      createdAt: run.identity.createdAt,
      lastAt: now,
      timesRun: run.timesRun,
    })
    return run
  }

  #checkpoint(id: string): { run: Run; checkpoint: Checkpoint } {
    const row = this.#journal.getCheckpoint(id)
    if (row === undefined) throw new ThawError('CHECKPOINT_NOT_FOUND', `There is no checkpoint ${id}.`)
    const run = this.#runOf(row.run)
    const known = run?.branches.flatMap((branch) => branch.checkpoints).find((one) => one.id === id)
    const checkpoint = known ?? (run === undefined ? null : revive(row, run))
    if (run === undefined || checkpoint === null) {
      throw new ThawError('CHECKPOINT_GONE', `${id} ended with its daemon, or was given up.`)
    }
    return { run, checkpoint }
  }

  /** Also one of an earlier daemon. */
  #runOf(id: string): Run | undefined {
    const known = this.#shop.runs.get(id)
    const row = known === undefined ? this.#journal.getRun(id) : undefined
    return row === undefined ? known : this.#remembered(row)
  }

  /** A run that this daemon does not know yet, with what one before it knew. */
  #recalled(identity: RunIdentity): Run {
    const run = new Run(identity)
    recallHistory(run, this.#shop.log)
    const known = new Set(run.parked().map(({ id }) => id))
    for (const row of this.#journal.listCheckpoints(identity.id)) {
      const image = watchedImage(row)
      if (image === null || known.has(row.id)) continue
      // Of a branch that its daemon did not see the end of.
      rmSync(image, { recursive: true, force: true })
      this.#journal.recordCheckpoint({ ...row, state: 'lost' })
    }
    return run
  }

  #remembered({ id, command, cwd, interpreter, createdAt }: RunRow): Run {
    const project = findProject(cwd, null)
    const directory = join(this.#shop.paths.runs, id)
    const run = this.#recalled({ id, command, cwd, interpreter, project, createdAt, directory })
    this.#shop.runs.set(id, run)
    return run
  }

  #removeCheckpoint(id: string, runId: string, how: { cascade: boolean; force: boolean }): string[] {
    const run = this.#runOf(runId)
    const row = this.#journal.getCheckpoint(id)
    const known = run?.branches.flatMap((branch) => branch.checkpoints).find((c) => c.id === id)
    const checkpoint =
      known ?? (run === undefined || row === undefined ? undefined : revive(row, run)) ?? undefined
    const dependents = run?.branches.filter((branch) => branch.parent?.id === id) ?? []
    if (dependents.length > 0 && !how.cascade && !how.force) {
      throw new ThawError('HAS_DEPENDENTS', `${dependents.length} branches go on from ${id}.`)
    }
    if (run !== undefined && checkpoint !== undefined) this.#shop.drop(run, checkpoint)
    this.#journal.forgetCheckpoint(id)
    return [id]
  }

  /** Runs that nobody has used for a while lose their processes. */
  async #expire(): Promise<void> {
    const before = Date.now() - this.#settings.keep * 1000
    for (const run of this.#shop.runs.values()) {
      if (run.live.size > 0 || run.lastAt > before) continue
      for (const checkpoint of run.inMemory()) this.#shop.drop(run, checkpoint)
      await run.dispose()
    }
  }
}
