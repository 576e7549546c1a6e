/** What all runs share: paths, journal, engine, budgets. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { relative } from 'node:path'
import type { DaemonSettings, RunReport } from '@thaw/protocol'
import { isParked, type AnyImage, type Branch, type BranchExit } from '../engines/engine.js'
import { ForkEngine } from '../engines/fork/fork.js'
import { CriuProvider } from '../engines/process/criu/provide.js'
import { ProcessImage } from '../engines/process/image.js'
import { ImageKeeper } from '../engines/process/keeper.js'
import { placesOf } from '../engines/process/packing.js'
import { WatchedEngine } from '../engines/process/watched.js'
import { ProcessEngine } from '../engines/process/process.js'
import { MachineBases } from '../engines/vm/base.js'
import { VmImage } from '../engines/vm/image.js'
import { VmToolsProvider } from '../engines/vm/tools.js'
import { VmEngine } from '../engines/vm/vm.js'
import { WatchedMachines } from '../engines/vm/watched.js'
import { ContentHashes } from '../files/signature.js'
import { describeInterpreter, findProgram } from '../languages/index.js'
import type { CheckpointRow, Journal } from '../store/index.js'
import { ThawError, type Log, type Metrics, type Paths, type Scope } from '../system/index.js'
import type { Execution } from './execution.js'
import { keptOf } from './kept.js'
import { Family } from '../engines/fork/family.js'
import { Group } from './group.js'
import { Launches } from './launches.js'
import type { Checkpoint, Root } from './lineage.js'
import { SourceHashes } from './present.js'
import { Roots } from './roots.js'
import type { Run } from './run.js'
import { availableMemory, leastUseful } from './thinning.js'

/** Most checkpoints on disk that thaw takes by itself for one run, and most bytes of them. */
const IMAGES_KEPT = 16
const IMAGES_SIZE = 4 * 1024 ** 3
/** Between two measurements of parked processes. Milliseconds. */
const MEASURE_EVERY = 1000

export class Workshop {
  readonly paths: Paths
  readonly log: Log
  readonly metrics: Metrics
  readonly engine = new ForkEngine()
  readonly process: ProcessEngine
  readonly watched: WatchedEngine
  readonly roots: Roots
  readonly machines: VmEngine
  readonly bases: MachineBases
  readonly watchedMachines: WatchedMachines
  readonly keeper: ImageKeeper
  readonly sources = new SourceHashes()
  readonly contents = new ContentHashes()
  readonly launches = new Launches()
  readonly runs = new Map<string, Run>()
  /** Live branches by id, those of runs beside a live one included. */
  readonly live = new Map<string, { run: Run; execution: Execution; branch: Branch }>()
  readonly #journal: Journal
  readonly #settings: DaemonSettings
  #measuring: NodeJS.Timeout | null = null

  constructor(paths: Paths, journal: Journal, log: Log, metrics: Metrics, settings: DaemonSettings) {
    this.paths = paths
    this.#journal = journal
    this.log = log
    this.metrics = metrics
    this.#settings = settings
    this.keeper = new ImageKeeper({
      pages: paths.pages,
      places: () => placesOf(paths.runs).map((directory) => ({ directory, rest: settings.pack })),
      rest: settings.pack,
      unpacked: settings.unpacked,
      log,
    })
    this.process = new ProcessEngine(new CriuProvider(paths.cache), (what) => log.info(what), this.keeper)
    this.watched = new WatchedEngine(this.process)
    this.roots = new Roots(this.process, paths, log)
    const tools = new VmToolsProvider(paths.cache)
    const say = (what: string) => log.info(what)
    this.machines = new VmEngine(tools, say)
    this.bases = new MachineBases(this.machines, tools, say)
    this.watchedMachines = new WatchedMachines(this.machines)
  }

  newId(kind: 'r' | 'b' | 'c' | 'v'): string {
    return `${kind}_${BigInt(`0x${randomBytes(8).toString('hex')}`)
      .toString(36)
      .padStart(13, '0')}`
  }

  makeDirectory(path: string): void {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  }

  removeDirectory(path: string): void {
    rmSync(path, { recursive: true, force: true })
  }

  relative(run: Run, file: string): string {
    const path = relative(run.identity.cwd, file)
    return file.startsWith('/') && !path.startsWith('..') ? path : file
  }

  firstRunReason(run: Run): string {
    return this.#journal.listBranches(run.identity.id).length === 0
      ? 'first run'
      : 'nothing was kept from earlier runs'
  }

  /** Any Python that can run the host of a plain program. */
  async anyPython(scope: Scope): Promise<string> {
    const inherited = process.env as Record<string, string>
    const env = { ...inherited, PATH: `${inherited['PATH'] ?? ''}:/usr/local/bin:/usr/bin:/bin` }
    const found = findProgram('python3', '/', env)
    const interpreter = found === null ? null : await describeInterpreter(found, '/', env, scope)
    if (interpreter === null) {
      throw new ThawError('UNSUPPORTED', 'No python3 was found, which thaw needs to look after processes.', {
        hint: 'Install Python 3.8 or later.',
      })
    }
    return interpreter.executable
  }

  /** Who answers for a run's programs in sandboxes. */
  async watchers(run: Run, root: Root, optimize: number, scope: Scope): Promise<Group> {
    if (run.watchers?.alive === true && run.watchers.root.files?.key === root.files?.key) return run.watchers
    await run.watchers?.[Symbol.asyncDispose]()
    run.optimize = optimize
    return (run.watchers = await this.newWatchers(run, root, scope))
  }

  async newWatchers(run: Run, root: Root, scope: Scope): Promise<Group> {
    const { runtime } = this.paths
    const interpreter = run.identity.interpreter ?? (await this.anyPython(scope))
    const { files } = root
    const [cache, start] =
      files === null
        ? [this.paths.cache, undefined]
        : [this.roots.cacheOf(files), this.roots.hostIn(files, run.identity.project)]
    return new Group(root, await Family.open(interpreter, runtime, cache, run.optimize, scope, start), null)
  }

  began(run: Run, execution: Execution, branch: Branch): void {
    this.live.set(branch.id, { run, execution, branch })
    this.#recordBranch(run, execution, branch.pid, null)
  }

  ended(run: Run, execution: Execution, exit: BranchExit): void {
    const { stdout, stderr } = execution.recorded.offsets()
    this.metrics.printed(stdout + stderr)
    this.live.delete(execution.record.id)
    this.#recordBranch(run, execution, null, exit)
    this.#measureSoon()
  }

  keep(run: Run, checkpoint: Checkpoint, most: number): void {
    this.metrics.checkpoint(checkpoint.image.engine)
    this.#recordCheckpoint(run, checkpoint)
    const parked = run.parked()
    if (parked.length > most) {
      const victim = leastUseful(parked)
      if (victim !== null) this.drop(run, victim)
    }
    for (let crowd = crowdOn(run); crowd.length > 0; crowd = crowdOn(run)) {
      const victim = leastUseful(crowd)
      if (victim === null) break
      this.drop(run, victim)
    }
    this.#measureSoon()
  }

  /** Ends a parked process; what it stood for is then part of the next checkpoint's stretch. */
  drop(run: Run, checkpoint: Checkpoint): void {
    void this.giveUp(run, checkpoint)
  }

  /** The same; afterwards its image is gone. */
  async giveUp(run: Run, checkpoint: Checkpoint): Promise<void> {
    checkpoint.state = 'dropped'
    this.#recordCheckpoint(run, checkpoint)
    await this.#discard(checkpoint.image).catch((error: unknown) => {
      this.log.warn('A checkpoint could not be given up.', { error })
    })
  }

  async #discard(image: AnyImage): Promise<void> {
    if (isParked(image)) await this.engine.discard(image)
    else if (image instanceof ProcessImage) await this.process.discard(image)
    else if (image instanceof VmImage) await image.remove()
  }

  lose(run: Run, checkpoint: Checkpoint): void {
    this.drop(run, checkpoint)
    checkpoint.state = 'lost'
    this.#recordCheckpoint(run, checkpoint)
  }

  refused(branch: string, work: number, why: string): void {
    this.metrics.refusal()
    this.#safely(() => this.#journal.recordRefusal(branch, work, why))
  }

  tell(run: Run, branch: string, report: RunReport): void {
    this.metrics.ended(report.outcome, report.seconds.total)
    this.#safely(() => this.#journal.recordOutcome(run.identity.id, branch, report))
  }

  /** Bytes that parked processes hold, as last measured. */
  memory(): number {
    return [...this.runs.values()].flatMap((run) => run.parked()).reduce((sum, c) => sum + (c.memory ?? 0), 0)
  }

  /** Measures, and gives up checkpoints until the rest fits the budget. Returns how many. */
  async thin(): Promise<number> {
    for (const run of this.runs.values()) {
      for (const group of run.groups) {
        const mine = run.parked().filter((c) => run.groupOf.get(c.branch) === group)
        if (mine.length === 0 || !group.alive) continue
        const pidOf = ({ image }: Checkpoint) => (isParked(image) ? image.pid : 0)
        const { bytes } = await group.family.host.ask({ do: 'pss', pids: mine.map(pidOf) })
        for (const checkpoint of mine)
          checkpoint.memory = bytes[String(pidOf(checkpoint))] ?? checkpoint.memory
      }
    }
    const { memory } = this.#settings
    const budget = memory === 'auto' ? (availableMemory() + this.memory()) / 4 : memory
    let dropped = 0
    while (this.memory() > budget) {
      const candidates = [...this.runs.values()].map((run) => ({ run, parked: run.parked() }))
      candidates.sort((a, b) => b.parked.length - a.parked.length)
      const most = candidates[0]
      const victim = most === undefined ? undefined : (leastUseful(most.parked) ?? most.parked[0])
      if (most === undefined || victim === undefined) break
      this.drop(most.run, victim)
      dropped++
    }
    return dropped
  }

  async close(): Promise<void> {
    if (this.#measuring !== null) clearTimeout(this.#measuring)
    await this.roots[Symbol.asyncDispose]()
    await this.keeper[Symbol.asyncDispose]()
  }

  #measureSoon(): void {
    this.#measuring ??= setTimeout(() => {
      this.#measuring = null
      this.thin().catch((error: unknown) => this.log.warn('Checkpoints could not be measured.', { error }))
    }, MEASURE_EVERY).unref()
  }

  #recordBranch(run: Run, execution: Execution, pid: number | null, exit: BranchExit | null): void {
    const { record } = execution
    this.#safely(() =>
      this.#journal.recordBranch({
        id: record.id,
        run: run.identity.id,
        from: record.parent?.id ?? null,
        state: exit === null ? 'live' : 'ended',
        pid,
        startedAt: execution.startedAt,
        endedAt: exit === null ? null : Date.now(),
        exitCode: exit?.code ?? null,
        exitSignal: exit?.signal ?? null,
        data: { kind: record.kind },
      }),
    )
  }

  #recordCheckpoint(run: Run, checkpoint: Checkpoint): void {
    const { branch } = checkpoint
    const at = branch.checkpoints.indexOf(checkpoint)
    this.#safely(() =>
      this.#journal.recordCheckpoint({
        id: checkpoint.id,
        run: run.identity.id,
        branch: branch.id,
        parent: (at > 0 ? branch.checkpoints[at - 1]?.id : branch.parent?.id) ?? null,
        ...this.#placeOf(run, checkpoint),
        atSeconds: checkpoint.work,
        memoryBytes: checkpoint.memory,
        state: checkpoint.state,
        createdAt: checkpoint.createdAt,
        data: keptOf(checkpoint),
      }),
    )
  }

  #placeOf(
    run: Run,
    { before: { file, unit, line } }: Checkpoint,
  ): Pick<CheckpointRow, 'unit' | 'file' | 'line'> {
    if (file === '') return { unit: null, file: null, line: null }
    return { unit: unit.replace(/#\d+$/, ''), file: this.relative(run, file), line }
  }

  /** A journal that cannot be written (disk full) must not end a program that runs. */
  #safely(record: () => void): void {
    try {
      record()
    } catch (error) {
      this.log.error('The journal could not be written.', { error })
    }
  }
}

/** Checkpoints on disk that nobody asked for, where they are too many or too large; else none. */
function crowdOn(run: Run): Checkpoint[] {
  let size = 0
  const found = run.parked().filter(({ image, kind }) => {
    if (!(image instanceof ProcessImage) || kind !== 'moment') return false
    size += image.size
    return true
  })
  return found.length > IMAGES_KEPT || size > IMAGES_SIZE ? found : []
}
