/** One app: a program with a port, started, frozen to disk, thawed, started anew after an edit, ended. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Service as ServiceDocument, ServiceState } from '@thaw/protocol'
import { ProcessImage } from '../../engines/process/image.js'
import { InstanceLog } from '../../snapshots/instances/log.js'
import type { AppRow } from '../../store/index.js'
import { openScope, removeTree, ThawError, type Scope } from '../../system/index.js'
import type { Beside } from '../../snapshots/instances/body.js'
import { Admission, type Waiting } from '../admission.js'
import { startBeside, type BesideRequest } from '../beside.js'
import { directoryBytes } from '../disk.js'
import { Idleness } from '../idleness.js'
import type { Kept } from '../kept.js'
import { LastWords } from '../last-words.js'
import type { LifeSite } from '../life.js'
import { memoryOf } from '../tree.js'
import { Turns } from '../turns.js'
import { Edits } from './edits.js'
import { environmentOf, Program, type ProgramSpec } from './program.js'
import { sourcesBelow } from './sources.js'

/** So long requests that run are waited for before a new program takes the place of the old. Milliseconds. */
const DRAIN = 1000
/** So long a freeze waits for them. Milliseconds. */
const FREEZE_PATIENCE = 60_000

export interface AppSite extends Pick<LifeSite, 'site' | 'journal' | 'images' | 'engine' | 'log'> {
  /** Directory of logs. */
  logs: string
}

/** Somebody's way to the program; it does not rest meanwhile. */
export interface Entrance {
  /** Of this machine. */
  readonly port: number
  /** The request is over. Once. @param failed whether the program did not answer it */
  leave(failed: boolean): void
}

export class App implements Kept {
  readonly #site: AppSite
  readonly #turns = new Turns()
  readonly #idleness = new Idleness()
  readonly #admission = new Admission({
    queue: () => this.request.compute.queue,
    isOpen: () => this.#isOpen(),
    open: () => this.#open(),
  })
  /** What is said to those who come after its end; null: it has not ended. */
  #over: (() => ThawError) | null = null
  /** Being brought to where it can be asked; null: it is not. */
  #opening: Promise<void> | null = null
  readonly #lastWords = new LastWords()
  readonly #edits: Edits
  readonly log: InstanceLog
  #row: AppRow
  #program: Program | null = null
  /** The copy right after the start. */
  #base: ProcessImage | null = null
  #starts = 0
  #calls: number
  #failed: number
  #readySince = performance.now()
  #startSeconds: number | null = null
  #thawSeconds: number | null = null
  #state: ServiceState = 'stopped'
  #reason: string | null = null

  constructor(site: AppSite, row: AppRow) {
    this.#site = site
    this.#row = row
    this.#admission.onQuiet = () => this.#idleness.end()
    this.log = new InstanceLog(join(site.logs, row.request.name), site.log)
    this.#edits = new Edits(row.request.app.cwd)
    this.#calls = row.frozen?.calls ?? 0
    this.#failed = row.frozen?.failed ?? 0
    if (row.frozen === null) return
    this.#state = 'frozen'
    this.#edits.started(row.frozen.files)
    if (row.frozen.base !== null) this.#base = ProcessImage.open(join(site.images, row.frozen.base))
  }

  get name(): string {
    return this.request.name
  }

  get request(): AppRow['request'] {
    return this.#row.request
  }

  get state(): ServiceState {
    return this.#state
  }

  get running(): number {
    return this.#admission.running
  }

  get isLive(): boolean {
    return this.#program !== null || this.#turns.isBusy
  }

  get pids(): number[] {
    return this.#program?.tree.pids() ?? []
  }

  describe(): ServiceDocument {
    const { env, ...compute } = this.request.compute
    const { files, version, stale, last } = this.#edits
    return {
      name: this.name,
      state: this.#state,
      reason: this.#reason,
      source: null,
      app: this.request.app,
      compute: { ...compute, env: Object.keys(env).sort() },
      engine: this.#program?.tree.engine ?? (this.#row.frozen === null ? null : 'process'),
      version,
      callables: [],
      files,
      stale,
      reload: last,
      calls: this.#calls,
      failed: this.#failed,
      running: this.running,
      waiting: this.#admission.waiting,
      workers: [],
      parked: 0,
      stops: 0,
      memory_bytes: memoryOf(this.pids),
      disk_bytes: this.#diskBytes(),
      start_seconds: this.#startSeconds,
      thaw_seconds: this.#thawSeconds,
      idle_seconds: this.running > 0 ? null : this.#idleness.since(this.#readySince) / 1000,
      created_at: this.#row.created_at,
    }
  }

  keepAwake(): Disposable {
    return this.#idleness.hold()
  }

  /**
   * Brings it to where it can be asked, with the code of now, and waits for room.
   *
   * @param asked.timeout seconds that it may wait for room; null: as long as it takes
   * @param asked.signal aborted when nobody waits for it any more
   * @throws ThawError QUEUE_FULL, CALL_TIMEOUT, SERVICE_FAILED, LAUNCH_TIMEOUT, CANCELLED and what the engine throws
   */
  async enter({ timeout, signal }: Pick<Waiting, 'timeout' | 'signal'>): Promise<Entrance> {
    const late = () => new ThawError('CALL_TIMEOUT', `${this.name} had no room for it within ${timeout} s.`)
    const { concurrency } = this.request.compute
    const waiting = { timeout, signal, late }
    const { value, leave } = await this.#admission.enter(waiting, concurrency, () => this.#take())
    return {
      port: value.port,
      leave: (failed) => {
        value.running--
        if (failed) this.#failed++
        leave()
      },
    }
  }

  /** As Kept.exec. */
  async exec(given: BesideRequest, scope: Scope): Promise<Beside> {
    const around = {
      name: this.name,
      awake: this.keepAwake(),
      tree: async () => {
        await this.thaw(scope)
        return this.#program?.tree
      },
      env: () => Promise.resolve(environmentOf(this.request)),
      cwd: this.request.app.cwd,
    }
    return await startBeside(around, given, scope)
  }

  /** What is started is another's, or has another port, from now on. It is started. */
  async deploy(request: AppRow['request'], scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      const before = this.request
      this.#record({ ...this.#row, request })
      // Another environment holds from the next start on: two shells are never quite alike.
      const lasting = ({ app, compute: { engine } }: AppRow['request']) => JSON.stringify([app, engine])
      if (lasting(before) !== lasting(request)) await this.#end()
      await this.#rise(scope)
      this.#edits.forgive()
      await this.#sync(scope)
      const { stale } = this.#edits
      if (stale !== null) throw new ThawError('SERVICE_FAILED', `${stale.message} The old serves on.`)
    })
  }

  /** The state is that right after the start. Requests that run are cut off. */
  async reset(scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      const base = this.#base
      await this.#program?.quiet(DRAIN)
      await this.#down()
      this.#forgetFrozen()
      if (base === null) return this.#start(scope)
      try {
        this.#serve(await Program.thaw(this.#site.site, base, this.#spec(), scope))
      } catch (error) {
        await this.#start(scope)
        this.#reason = `It was started anew, because it could not go back: ${(error as Error).message}`
      }
    })
  }

  /** Everything is started anew. */
  async restart(scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      await this.#program?.quiet(DRAIN)
      await this.#end()
      await this.#start(scope)
    })
  }

  /** @throws ThawError UNSUPPORTED, WRONG_STATE and what the engine refuses; it serves on then */
  async freeze(scope: Scope): Promise<void> {
    await this.#inTurn(() => this.#freeze(scope))
  }

  async thaw(scope: Scope): Promise<void> {
    await this.#inTurn(() => this.#rise(scope))
  }

  async stop(): Promise<void> {
    await this.#inTurn(() => this.#end())
  }

  /** Nothing of it is left. */
  async remove(): Promise<void> {
    await this.#inTurn(async () => {
      this.#over = () => new ThawError('SERVICE_NOT_FOUND', `${this.name} has been removed.`)
      await this.#end()
      this.#site.journal.services.forget(this.name)
      this.log.close()
      removeTree(join(this.#site.logs, this.name))
    })
  }

  async rest(): Promise<void> {
    const { inactivity_ttl: ttl, ttl_action: action } = this.request.compute
    const isUsed = () => this.#admission.running + this.#admission.waiting > 0
    const isDue = () => this.#state === 'ready' && !isUsed() && this.#idleness.isOver(ttl, this.#readySince)
    if (!isDue() || this.#turns.isBusy) return
    await this.#inTurn(async () => {
      if (!isDue()) return
      if (action === 'stop') return this.#end()
      try {
        await this.#freeze(openScope(this.#site.log))
      } catch (error) {
        this.#reason = `It could not be frozen: ${(error as Error).message}`
        this.#idleness.end()
      }
    }).catch((error: unknown) => this.#site.log.warn('An app could not rest.', { name: this.name, error }))
  }

  /** At the daemon's end: frozen where that is possible, else ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#program?.tree.engine === 'process' && this.running === 0) {
        await this.#freeze(openScope(this.#site.log)).catch((error: unknown) =>
          this.#site.log.warn('An app ends with the daemon.', { name: this.name, error }),
        )
      }
      this.#over = () => new ThawError('DAEMON_STOPPING', `${this.name} ends with the daemon.`)
      await this.#down()
    })
    this.log.close()
  }

  /** The program, with one more request. */
  #take(): Program {
    const program = this.#program
    if (program === null)
      throw new ThawError('APP_BROKEN', `${this.name} has ended. ${this.#lastWords.toString()}`)
    program.running++
    this.#calls++
    return program
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return await this.#turns.run(async () => {
      if (this.#over !== null) throw this.#over()
      return await work()
    })
  }

  /** Whether it answers, with the code of now, and nothing is being changed. */
  #isOpen(): boolean {
    if (this.#over !== null) throw this.#over()
    if (this.#turns.isBusy || this.#state !== 'ready') return false
    return this.request.compute.sync !== 'call' || this.#edits.news() === null
  }

  /** Brings it there, for all who wait. Who goes away leaves that to those who stay. */
  async #open(): Promise<void> {
    if (this.#opening === null && this.#turns.isBusy) return await this.#turns.settled()
    const scope = openScope(this.#site.log)
    this.#opening ??= this.#inTurn(async () => {
      await this.#rise(scope)
      if (this.request.compute.sync === 'call') await this.#sync(scope)
    }).finally(() => (this.#opening = null))
    await this.#opening
  }

  /** From whatever it is to ready. */
  async #rise(scope: Scope): Promise<void> {
    if (this.#state === 'ready') return
    if (this.#row.frozen === null) return this.#start(scope)
    await this.#thaw(scope)
  }

  async #start(scope: Scope): Promise<void> {
    this.#state = 'starting'
    try {
      this.#serve(await this.#launch(scope))
      await this.#remember(scope)
    } catch (error) {
      await this.#down()
      const known = this.#failure(error)
      this.#state = 'failed'
      this.#reason = known.message
      throw known
    }
  }

  /** A program of the code of now, that nobody is sent to yet. */
  async #launch(scope: Scope): Promise<Program> {
    const { app, compute } = this.request
    const begun = performance.now()
    this.#lastWords.clear()
    const sources = sourcesBelow(app.cwd)
    const engine = await this.#site.engine(compute.engine, scope)
    const program = await Program.start(this.#site.site, engine, this.#spec(), scope)
    this.#startSeconds = (performance.now() - begun) / 1000
    this.#edits.started(sources ?? {})
    this.#reason = sources === null ? 'Edits are not looked for: there are too many files.' : null
    return program
  }

  /** Keeps a copy of now for resets. */
  async #remember(scope: Scope): Promise<void> {
    const before = this.#base
    this.#base = null
    const { tree } = this.#program as Program
    if (tree.engine === 'process') {
      try {
        this.#base = await tree.copy(scope)
      } catch (error) {
        this.#reason = `A reset starts it anew, because it could not be copied: ${(error as Error).message}`
      }
    }
    if (before !== null) await this.#site.site.engine.discard(before)
  }

  #serve(program: Program): void {
    this.#program = program
    this.#state = 'ready'
    this.#readySince = performance.now()
    void program.tree.exited.then(() =>
      this.#turns.run(async () => {
        if (this.#program !== program) return
        await this.#end(() => `It has ended. ${this.#lastWords.toString()}`)
      }),
    )
  }

  /** A program of the new code takes the place of the old. What does not come up is remembered, and the old serves. */
  async #sync(scope: Scope): Promise<void> {
    const changes = this.#edits.news()
    const old = this.#program
    if (changes === null || old === null) return
    const begun = performance.now()
    const isBeside = old.tree.engine === 'process' && this.request.app.network !== 'host'
    if (isBeside) {
      try {
        this.#serve(await this.#launch(scope))
      } catch (error) {
        this.#edits.refuse(changes, this.#failure(error).message)
        return
      }
      await old.quiet(DRAIN)
      await old[Symbol.asyncDispose]()
      await this.#remember(scope)
    } else {
      // Both would need the same port.
      await old.quiet(DRAIN)
      await this.#end()
      await this.#start(scope)
    }
    this.#edits.served(begun)
  }

  async #freeze(scope: Scope): Promise<void> {
    const program = this.#program
    if (this.#state === 'frozen') return
    if (program === null || this.#state !== 'ready') {
      throw new ThawError('WRONG_STATE', `${this.name} is ${this.#state}; only what serves can be frozen.`)
    }
    if (!(await program.quiet(FREEZE_PATIENCE))) {
      throw new ThawError('WRONG_STATE', `${this.name} cannot be frozen while requests run.`)
    }
    this.#state = 'freezing'
    let image
    try {
      image = await program.tree.freeze(scope)
    } catch (error) {
      this.#state = 'ready'
      throw error
    }
    const nameOf = ({ directory }: ProcessImage) => directory.slice(this.#site.images.length + 1)
    const frozen = {
      directory: nameOf(image),
      base: this.#base === null ? null : nameOf(this.#base),
      files: this.#edits.digests,
      calls: this.#calls,
      failed: this.#failed,
    }
    this.#record({ ...this.#row, frozen })
    await this.#down()
    this.#state = 'frozen'
    this.#reason = null
  }

  async #thaw(scope: Scope): Promise<void> {
    const { frozen } = this.#row
    if (frozen === null) return
    const begun = performance.now()
    const directory = join(this.#site.images, frozen.directory)
    this.#state = 'thawing'
    try {
      const image = ProcessImage.open(directory)
      const program = await Program.thaw(this.#site.site, image, this.#spec(), scope)
      this.#record({ ...this.#row, frozen: null })
      await this.#site.site.engine.discard(image)
      this.#serve(program)
      this.#reason = null
      this.#thawSeconds = (performance.now() - begun) / 1000
    } catch (error) {
      if (existsSync(directory)) this.#state = 'frozen'
      else this.#forgetFrozen()
      const known = this.#failure(error)
      this.#reason = `It could not be thawed: ${known.message}`
      throw known
    }
  }

  /** Nothing runs any more, and nothing of its state is kept. `reason`: asked when all that it printed is known. */
  async #end(reason?: () => string): Promise<void> {
    await this.#down(reason)
    this.#forgetFrozen()
    const base = this.#base
    this.#base = null
    if (base !== null) await this.#site.site.engine.discard(base)
  }

  async #down(reason?: () => string): Promise<void> {
    const program = this.#program
    this.#program = null
    await program?.[Symbol.asyncDispose]()
    if (reason !== undefined) this.#reason = reason()
    if (this.#state === 'ready') this.#state = 'stopped'
  }

  #forgetFrozen(): void {
    const { frozen } = this.#row
    this.#state = 'stopped'
    if (frozen === null) return
    this.#record({ ...this.#row, frozen: null })
    removeTree(join(this.#site.images, frozen.directory))
  }

  #failure(error: unknown): ThawError {
    const known = ThawError.from(error)
    const { name, compute } = this.request
    const words = this.#lastWords.toString()
    if (known.code === 'TIMEOUT') {
      return new ThawError(
        'LAUNCH_TIMEOUT',
        `${name} was not ready within ${compute.launch_timeout} s. ${words}`,
      )
    }
    if (known.code !== 'SERVICE_FAILED') return known
    return new ThawError('SERVICE_FAILED', `${name} ended before it was ready. ${words}`)
  }

  #spec(): ProgramSpec {
    return {
      id: `svc-${this.name}-${++this.#starts}`,
      request: this.request,
      listener: {
        output: (stream, bytes) => {
          this.log.append(stream, bytes)
          this.#lastWords.add(bytes)
          return true
        },
      },
    }
  }

  #diskBytes(): number {
    const { frozen } = this.#row
    const there = [
      ...(frozen === null ? [] : [join(this.#site.images, frozen.directory)]),
      ...(this.#base === null ? [] : [this.#base.directory]),
    ]
    return there.reduce((sum, directory) => sum + (existsSync(directory) ? directoryBytes(directory) : 0), 0)
  }

  #record(row: AppRow): void {
    this.#row = row
    this.#site.journal.services.record(row)
  }
}
