/** One app: a program with a port, started, frozen to disk, thawed, started anew after an edit, ended. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { CodeFault, Service as ServiceDocument, ServiceReload, ServiceState } from '@thaw/protocol'
import { ProcessImage } from '../../engines/process/image.js'
import { InstanceLog } from '../../snapshots/instances/log.js'
import type { AppRow } from '../../store/index.js'
import { openScope, removeTree, ThawError, type Scope } from '../../system/index.js'
import { Code } from '../code.js'
import { directoryBytes } from '../disk.js'
import { Idleness } from '../idleness.js'
import type { Kept } from '../kept.js'
import { LastWords } from '../last-words.js'
import type { LifeSite } from '../life.js'
import { memoryOf } from '../tree.js'
import { Turns } from '../turns.js'
import { Program, type ProgramSpec } from './program.js'
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
  readonly #lastWords = new LastWords()
  readonly #code: Code
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
  #reload: ServiceReload | null = null
  /** Code that did not come up. */
  #unfit: { version: string; fault: CodeFault } | null = null
  #state: ServiceState = 'stopped'
  #reason: string | null = null

  constructor(site: AppSite, row: AppRow) {
    this.#site = site
    this.#row = row
    this.log = new InstanceLog(join(site.logs, row.request.name), site.log)
    this.#code = new Code(row.request.app.cwd)
    this.#calls = row.frozen?.calls ?? 0
    this.#failed = row.frozen?.failed ?? 0
    if (row.frozen === null) return
    this.#state = 'frozen'
    this.#code.loaded(row.frozen.files)
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
    return this.#program?.running ?? 0
  }

  get isLive(): boolean {
    return this.#program !== null || this.#turns.isBusy
  }

  get pids(): number[] {
    return this.#program?.tree.pids() ?? []
  }

  describe(): ServiceDocument {
    const { env, ...compute } = this.request.compute
    const files = this.#code.files
    return {
      name: this.name,
      state: this.#state,
      reason: this.#reason,
      source: null,
      app: this.request.app,
      compute: { ...compute, env: Object.keys(env).sort() },
      engine: this.#program?.tree.engine ?? (this.#row.frozen === null ? null : 'process'),
      version: files.length === 0 ? null : this.#code.version,
      callables: [],
      files,
      stale: this.#unfit?.fault ?? null,
      reload: this.#reload,
      calls: this.#calls,
      failed: this.#failed,
      running: this.running,
      waiting: 0,
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
   * Brings it to where it can be asked, with the code of now.
   *
   * @param signal aborted when nobody waits for it any more
   * @throws ThawError SERVICE_FAILED, LAUNCH_TIMEOUT, CANCELLED and what the engine throws
   */
  async enter(signal: AbortSignal): Promise<Entrance> {
    if (!this.#turns.isBusy && this.#state === 'ready' && !this.#hasNews()) return this.#take()
    const scope = openScope(this.#site.log)
    // Who goes away leaves the start to those who come after.
    const taken = this.#turns.run(async () => {
      await this.#rise(scope)
      if (this.request.compute.sync === 'call') await this.#sync(scope)
      return this.#take()
    })
    let leave!: () => void
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(new ThawError('CANCELLED', 'The caller went away while the app started.'))
      signal.addEventListener('abort', leave, { once: true })
    })
    try {
      return await Promise.race([taken, left])
    } catch (error) {
      void taken.then((entrance) => entrance.leave(false)).catch(() => {})
      throw error
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** What is started is another's, or has another port, from now on. It is started. */
  async deploy(request: AppRow['request'], scope: Scope): Promise<void> {
    await this.#turns.run(async () => {
      const before = this.request
      this.#record({ ...this.#row, request })
      // Another environment holds from the next start on: two shells are never quite alike.
      const lasting = ({ app, compute: { engine } }: AppRow['request']) => JSON.stringify([app, engine])
      if (lasting(before) !== lasting(request)) await this.#end()
      await this.#rise(scope)
      this.#unfit = null
      await this.#sync(scope)
      const { fault } = this.#unfit ?? ({} as { fault?: CodeFault })
      if (fault !== undefined) throw new ThawError('SERVICE_FAILED', `${fault.message} The old serves on.`)
    })
  }

  /** The state is that right after the start. Requests that run are cut off. */
  async reset(scope: Scope): Promise<void> {
    await this.#turns.run(async () => {
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
    await this.#turns.run(async () => {
      await this.#program?.quiet(DRAIN)
      await this.#end()
      await this.#start(scope)
    })
  }

  /** @throws ThawError UNSUPPORTED, WRONG_STATE and what the engine refuses; it serves on then */
  async freeze(scope: Scope): Promise<void> {
    await this.#turns.run(() => this.#freeze(scope))
  }

  async thaw(scope: Scope): Promise<void> {
    await this.#turns.run(() => this.#rise(scope))
  }

  async stop(): Promise<void> {
    await this.#turns.run(() => this.#end())
  }

  /** Nothing of it is left. */
  async remove(): Promise<void> {
    await this.#turns.run(async () => {
      await this.#end()
      this.#site.journal.services.forget(this.name)
      this.log.close()
      removeTree(join(this.#site.logs, this.name))
    })
  }

  async rest(): Promise<void> {
    const { inactivity_ttl: ttl, ttl_action: action } = this.request.compute
    const isDue = () =>
      this.#state === 'ready' && this.running === 0 && this.#idleness.isOver(ttl, this.#readySince)
    if (!isDue() || this.#turns.isBusy) return
    await this.#turns
      .run(async () => {
        if (!isDue()) return
        if (action === 'stop') return this.#end()
        try {
          await this.#freeze(openScope(this.#site.log))
        } catch (error) {
          this.#reason = `It could not be frozen: ${(error as Error).message}`
          this.#idleness.end()
        }
      })
      .catch((error: unknown) => this.#site.log.warn('An app could not rest.', { name: this.name, error }))
  }

  /** At the daemon's end: frozen where that is possible, else ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turns.run(async () => {
      if (this.#program?.tree.engine === 'process' && this.running === 0) {
        await this.#freeze(openScope(this.#site.log)).catch((error: unknown) =>
          this.#site.log.warn('An app ends with the daemon.', { name: this.name, error }),
        )
      }
      await this.#down()
    })
    this.log.close()
  }

  #take(): Entrance {
    const program = this.#program
    if (program === null)
      throw new ThawError('APP_BROKEN', `${this.name} has ended. ${this.#lastWords.toString()}`)
    program.running++
    this.#calls++
    return {
      port: program.port,
      leave: (failed) => {
        program.running--
        if (failed) this.#failed++
        this.#idleness.end()
      },
    }
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
    this.#code.loaded(sources ?? {})
    this.#unfit = null
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

  /** Whether files differ from what was started, and are not known to be unfit. */
  #hasNews(): boolean {
    if (this.request.compute.sync !== 'call') return false
    const changes = this.#code.changes()
    if (changes === null) this.#unfit = null
    return changes !== null && changes.version !== this.#unfit?.version
  }

  /** A program of the new code takes the place of the old. What does not come up is remembered, and the old serves. */
  async #sync(scope: Scope): Promise<void> {
    const changes = this.#code.changes()
    const old = this.#program
    if (changes === null || changes.version === this.#unfit?.version || old === null) return
    const begun = performance.now()
    const isBeside = old.tree.engine === 'process' && this.request.app.network !== 'host'
    if (isBeside) {
      try {
        this.#serve(await this.#launch(scope))
      } catch (error) {
        const [file = ''] = changes.sources.keys()
        this.#unfit = {
          version: changes.version,
          fault: { file, line: 0, message: this.#failure(error).message },
        }
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
    this.#reload = {
      at: new Date().toISOString(),
      version: this.#code.version,
      how: 'loaded',
      seconds: (performance.now() - begun) / 1000,
      patched: [],
      executed: [],
      removed: [],
    }
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
      files: this.#code.digests,
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
