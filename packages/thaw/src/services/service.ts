/** One service: what of it is there, and what takes it from one state to another. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type {
  CodeFault,
  Service as ServiceDocument,
  ServiceCallable,
  ServiceReload,
  ServiceRepair,
  ServiceState,
} from '@thaw/protocol'
import { ProcessImage } from '../engines/process/image.js'
import { Steps } from '../repair/steps.js'
import { InstanceLog } from '../snapshots/instances/log.js'
import type { Journal, ServiceRow } from '../store/index.js'
import {
  agentsDirectory,
  openScope,
  removeTree,
  ThawError,
  withTimeout,
  type Log,
  type Scope,
} from '../system/index.js'
import { Calls, type CallRequest, type Result } from './calls.js'
import { Code, type Changes } from './code.js'
import { Host, settingOf, type Kept, type Loaded } from './host.js'
import { LineServer } from './line.js'
import { memoryOf, startTree, thawTree, type Site } from './tree.js'
import { directoryBytes } from './disk.js'
import { isRaised, repairCall, Tail, withoutStanding, type AskForEdit } from './repair.js'

/** Of what it printed last, so much is part of an error. Bytes. */
const LAST_WORDS = 1200
/** So long new code waits for calls that run. Milliseconds. */
const RELOAD_PATIENCE = 1000
/** So long a freeze waits for them. */
const FREEZE_PATIENCE = 60_000

export interface Shop {
  site: Site
  journal: Journal
  /** Directory of images. */
  images: string
  /** Of logs. */
  logs: string
  /** Where sockets are made. */
  sockets: string
  /** Which engine serves here. */
  engine(wanted: 'auto' | 'process' | 'plain', scope: Scope): Promise<'process' | 'plain'>
  python(
    request: ServiceRow['request'],
    scope: Scope,
  ): Promise<{ argv: string[]; env: Record<string, string> }>
  root(file: string): string
  /** Directory of steps of repairs. */
  repairs: string
  ask: AskForEdit
  log: Log
}

export interface Called extends Result {
  stale: CodeFault | null
  /** Diffs of edits that it needed. */
  repaired: string[]
}

export class Service implements AsyncDisposable {
  readonly #shop: Shop
  #row: ServiceRow
  #log: InstanceLog
  readonly #calls: Calls
  #code: Code
  #host: Host | null = null
  #lines: LineServer | null = null
  #callables: ServiceCallable[] = []
  #state: ServiceState = 'stopped'
  #reason: string | null = null
  #stale: (CodeFault & { sources: ReadonlyMap<string, Buffer> }) | null = null
  #reload: ServiceReload | null = null
  #version = ''
  #lastWords = Buffer.alloc(0)
  #startSeconds: number | null = null
  #thawSeconds: number | null = null
  #diskBytes = 0
  #callCount = 0
  #failCount = 0
  #lastEnd = performance.now()
  #awake = 0
  readonly #steps: Steps
  #repairing: Promise<void> = Promise.resolve()
  /** One change at a time; null: none is under way. */
  #turn: Promise<unknown> | null = null
  /** Told when it has changed, for those who count. */
  onChange: () => void = () => {}

  constructor(shop: Shop, row: ServiceRow) {
    this.#shop = shop
    this.#row = row
    this.#log = new InstanceLog(join(shop.logs, row.request.name), shop.log)
    this.#steps = new Steps(join(shop.repairs, row.request.name))
    this.#steps.recover()
    this.#code = new Code(this.#root)
    this.#calls = new Calls(row.request.compute, {
      host: () => this.#host,
      version: () => this.#version,
      settled: async () => void (await this.#turn?.catch(() => {})),
      log: shop.log,
    })
    this.#calls.onQuiet = () => (this.#lastEnd = performance.now())
    const { frozen } = row
    if (frozen === null) return
    this.#state = 'frozen'
    this.#callCount = frozen.calls
    this.#failCount = frozen.failed
    this.#know(frozen.files, frozen.callables as ServiceCallable[])
    this.#diskBytes = directoryBytes(join(shop.images, frozen.directory))
  }

  get name(): string {
    return this.#row.request.name
  }

  get request(): ServiceRow['request'] {
    return this.#row.request
  }

  get state(): ServiceState {
    return this.#state
  }

  get running(): number {
    return this.#calls.running
  }

  get log(): InstanceLog {
    return this.#log
  }

  /** Whether it would lose anything with the daemon. */
  get isLive(): boolean {
    return this.#host !== null || this.#turn !== null
  }

  /** Pids of all its processes as seen from here, the root first. */
  get pids(): number[] {
    return this.#host?.tree.pids() ?? []
  }

  describe(): ServiceDocument {
    const { env, repair, ...compute } = this.request.compute
    const { running, waiting } = this.#calls
    const pids = this.pids
    const outer = pidsWithin(pids)
    return {
      name: this.name,
      state: this.#state,
      reason: this.#reason,
      source: this.request.source,
      compute: { ...compute, env: Object.keys(env).sort(), repair: repair !== null },
      engine: this.#host?.tree.engine ?? (this.#row.frozen === null ? null : 'process'),
      version: this.#version === '' ? null : this.#version,
      callables: this.#callables,
      files: this.#code.files,
      stale: this.#stale === null ? null : faultOf(this.#stale),
      reload: this.#reload,
      calls: this.#callCount,
      failed: this.#failCount,
      running,
      waiting,
      workers: (this.#host?.workers ?? [])
        .filter(({ alone }) => !alone)
        .map((worker) => {
          const pid = outer.get(worker.pid) ?? worker.pid
          return { pid, running: worker.running, memory_bytes: memoryOf([pid]) }
        }),
      parked: this.#host?.parked ?? 0,
      memory_bytes: memoryOf(pids),
      disk_bytes: this.#diskBytes,
      start_seconds: this.#startSeconds,
      thaw_seconds: this.#thawSeconds,
      idle_seconds: running > 0 ? null : (performance.now() - this.#lastEnd) / 1000,
      created_at: this.#row.created_at,
    }
  }

  /** It does not rest while this is held: a shell, a debugger. */
  keepAwake(): Disposable {
    this.#awake++
    let isHeld = true
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return
        isHeld = false
        this.#awake--
        this.#lastEnd = performance.now()
      },
    }
  }

  /**
   * @throws ThawError what `Calls.carry` throws; CODE_VERSION; SERVICE_FAILED, LAUNCH_TIMEOUT and SYNTAX_ERROR when it
   * has to be started and cannot be
   */
  async call(request: CallRequest, version: string | null): Promise<Called> {
    const { sync } = this.request.compute
    const changes = this.#turn === null && this.#state === 'ready' && sync === 'call' ? this.#news() : null
    if (changes !== null || this.#turn !== null || this.#state !== 'ready') await this.#prepare(request)
    if (version !== null && version !== this.#version) {
      const why =
        this.#stale === null ? '' : ` (${this.#stale.file}:${this.#stale.line}: ${this.#stale.message})`
      throw new ThawError('CODE_VERSION', `${this.name} serves ${this.#version}, not ${version}${why}.`)
    }
    this.#callCount++
    const printed = new Tail()
    const carry = async (): Promise<Called> => {
      const result = await this.#calls.carry({ ...request, printed: this.#record(request, printed) })
      return { ...result, stale: this.#stale === null ? null : faultOf(this.#stale), repaired: [] }
    }
    try {
      return await carry()
    } catch (error) {
      this.#failCount++
      const { repair } = this.request.compute
      if (repair === null || !isRaised(error)) throw error
      // Who wants the code of one version wants no other.
      if (version !== null) throw withoutStanding(error)
      return await this.#repair(error, repair, request, printed, carry)
    }
  }

  /** One after the other: an edit may be what another call needs, too. */
  async #repair(
    error: ThawError,
    repair: ServiceRepair,
    { fn, kind, body }: CallRequest,
    printed: Tail,
    carry: () => Promise<Called>,
  ): Promise<Called> {
    const before = this.#repairing
    let leave!: () => void
    this.#repairing = new Promise((resolve) => (leave = resolve))
    using _awake = this.keepAwake()
    try {
      await before
      let raised = error
      if ((error.details as { version?: string }).version !== this.#version) {
        try {
          return await carry()
        } catch (again) {
          if (!isRaised(again)) throw again
          raised = again
        }
      }
      const scope = openScope(this.#shop.log)
      const { argv, env } = await this.#shop.python(this.request, scope)
      const given = kind === 'json' ? Buffer.from(body).toString('utf8', 0, LAST_WORDS) : `<${kind}>`
      const called = await repairCall(
        {
          error: raised,
          about: {
            id: `svc-${this.name}`,
            project: this.#root,
            cwd: this.#root,
            command: [fn, given],
            output: printed.text(),
            env,
            python: argv[0] as string,
          },
          repair,
          steps: this.#steps,
          ask: this.#shop.ask,
          again: carry,
          apply: async () => {
            await this.#inTurn(() => this.#sync(scope, false))
            return this.#stale
          },
        },
        scope,
      )
      this.#shop.log.info('A call was repaired.', { service: this.name, fn, edits: called.repaired.length })
      return called
    } finally {
      leave()
    }
  }

  /** What is called is another's, or more; what it is given is as told from now on. It is started. */
  async deploy(request: ServiceRow['request'], scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      const before = this.request
      this.#row = { ...this.#row, request }
      this.#calls.compute = request.compute
      this.#shop.journal.services.record(this.#row)
      // Another environment holds from the next start on: two shells are never quite alike.
      const lasting = ({ compute }: ServiceRow['request']) => {
        const { python, engine, pickle, workers, reload, repair } = compute
        return JSON.stringify([python, engine, pickle, workers, reload, repair !== null])
      }
      if (lasting(before) !== lasting(request)) await this.#end()
      await this.#rise(scope)
      if (this.#stale !== null) this.#stale = null
      await this.#sync(
        scope,
        JSON.stringify(before.source.callables) !== JSON.stringify(request.source.callables),
      )
      if (this.#stale !== null) throw this.#asError()
    })
  }

  /** The state is that right after loading. Calls that run end with WORKER_CRASHED. */
  async reset(scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#state !== 'ready') {
        await this.#end()
        return this.#rise(scope)
      }
      await this.#renew(scope)
    })
  }

  /** Everything is loaded anew. */
  async restart(scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      await this.#end()
      await this.#rise(scope)
    })
  }

  /** @throws ThawError UNSUPPORTED, and why it cannot be copied; it serves on then */
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
      await this.#end()
      this.#shop.journal.services.forget(this.name)
      this.#log.close()
      removeTree(join(this.#shop.logs, this.name))
      removeTree(join(this.#shop.repairs, this.name))
    })
  }

  /** Rests where it is due. */
  async rest(): Promise<void> {
    const { inactivity_ttl: ttl, ttl_action: action } = this.request.compute
    if (!this.#isDue(ttl)) return
    await this.#inTurn(async () => {
      if (!this.#isDue(ttl)) return
      if (action === 'stop') return this.#end()
      try {
        await this.#freeze(openScope(this.#shop.log))
      } catch (error) {
        this.#reason = `It could not be frozen: ${(error as Error).message}`
        this.#lastEnd = performance.now()
      }
    }).catch((error: unknown) => this.#shop.log.warn('A service could not rest.', { name: this.name, error }))
  }

  /** At the daemon's end: frozen where that is possible, else ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#host !== null && this.#host.tree.engine === 'process' && this.#calls.running === 0) {
        await this.#freeze(openScope(this.#shop.log)).catch((error: unknown) =>
          this.#shop.log.warn('A service ends with the daemon.', { name: this.name, error }),
        )
      }
      await this.#down()
    })
    this.#log.close()
  }

  get #root(): string {
    const { file, root } = this.request.source
    return root ?? this.#shop.root(file)
  }

  #isDue(ttl: number | null): boolean {
    if (ttl === null || this.#state !== 'ready' || this.#awake > 0) return false
    const { running, waiting } = this.#calls
    return running === 0 && waiting === 0 && performance.now() - this.#lastEnd >= ttl * 1000
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#turn
    const turn = (async () => {
      await before?.catch(() => {})
      return await work()
    })()
    this.#turn = turn
    try {
      return await turn
    } finally {
      if (this.#turn === turn) this.#turn = null
      this.onChange()
    }
  }

  /** Brings it to where it can be called with the code of now. */
  async #prepare({ signal }: CallRequest): Promise<void> {
    const scope = openScope(this.#shop.log)
    // Who goes away leaves the start to those who come after.
    const ready = this.#inTurn(async () => {
      await this.#rise(scope)
      if (this.request.compute.sync === 'call') await this.#sync(scope, false)
    })
    ready.catch(() => {})
    let leave!: () => void
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(new ThawError('CANCELLED', 'The caller went away while the service started.'))
      signal.addEventListener('abort', leave, { once: true })
    })
    try {
      await Promise.race([ready, left])
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** From whatever it is to ready. */
  async #rise(scope: Scope): Promise<void> {
    if (this.#state === 'ready') return
    if (this.#row.frozen !== null) return this.#thaw(scope)
    await this.#start(scope)
  }

  async #start(scope: Scope): Promise<void> {
    const { compute } = this.request
    const begun = performance.now()
    const bounded = withTimeout(scope, compute.launch_timeout * 1000)
    this.#state = 'starting'
    this.#lastWords = Buffer.alloc(0)
    try {
      const engine = await this.#shop.engine(compute.engine, bounded)
      const { argv, env } = await this.#shop.python(this.request, bounded)
      this.#lines = await LineServer.listen(this.#socket, this.#shop.log)
      const program = join(agentsDirectory(), 'python', 'thaw_agent', 'service_host.py')
      const setting = { socket: this.#socket, ...settingOf(this.request, this.#root) }
      const tree = await startTree(
        this.#shop.site,
        engine,
        {
          id: `svc-${this.name}`,
          argv: [...argv, program],
          env: { ...env, THAW_SERVICE: JSON.stringify(setting) },
          cwd: this.#root,
          listener: this.#listener,
        },
        bounded,
      )
      this.#hold(new Host(tree, this.#lines))
      const host = this.#host as unknown as Host
      await this.#serve(host, await host.loaded(bounded), bounded)
      this.#startSeconds = (performance.now() - begun) / 1000
      this.#stale = null
    } catch (error) {
      await this.#down()
      this.#state = 'failed'
      const known = this.#launchError(ThawError.from(error))
      this.#reason = known.message
      throw known
    }
  }

  async #serve(host: Host, loaded: Loaded, scope: Scope): Promise<void> {
    this.#know(loaded.files, loaded.callables)
    const forks = Array.from({ length: this.request.compute.workers }, () => host.fork(this.#version, scope))
    await Promise.all(forks)
    this.#state = 'ready'
    this.#reason = null
    this.#lastEnd = performance.now()
  }

  #know(files: Readonly<Record<string, string>>, callables: ServiceCallable[]): void {
    this.#code.loaded(files)
    this.#version = this.#code.version
    this.#callables = callables
  }

  #hold(host: Host): void {
    this.#host = host
    host.onGone = () => {
      void this.#inTurn(async () => {
        if (this.#host !== host) return
        await this.#end()
        this.#reason = `Its processes have ended. ${this.#said()}`
      })
    }
    host.onWorkerGone = (worker) => {
      if (worker.alone || this.#host !== host || this.#state !== 'ready') return
      this.#reason = 'A worker has crashed, and was replaced.'
      // Calls wait meanwhile: nothing could serve them.
      void this.#inTurn(async () => {
        if (this.#host === host) await host.fork(this.#version, openScope(this.#shop.log))
      }).catch((error: unknown) => this.#shop.log.warn('A worker could not be replaced.', { error }))
    }
  }

  #launchError(error: ThawError): ThawError {
    if (error.code === 'TIMEOUT') {
      const { launch_timeout: limit } = this.request.compute
      return new ThawError('LAUNCH_TIMEOUT', `${this.name} was not ready within ${limit} s. ${this.#said()}`)
    }
    if (error.code !== 'WORKER_CRASHED') return error
    return new ThawError('SERVICE_FAILED', `${this.name} ended while it started. ${this.#said()}`)
  }

  #said(): string {
    const last = this.#lastWords.toString().trim()
    if (last === '') return 'It printed nothing.'
    return `It printed last: ${last.split('\n').slice(-8).join(' | ')}`.replace(/[.]?$/, '.')
  }

  async #thaw(scope: Scope): Promise<void> {
    const { frozen } = this.#row
    if (frozen === null) return
    const begun = performance.now()
    const directory = join(this.#shop.images, frozen.directory)
    this.#state = 'thawing'
    try {
      const image = ProcessImage.open(directory)
      this.#lines = await LineServer.listen(this.#socket, this.#shop.log)
      const about = { id: `svc-${this.name}`, listener: this.#listener }
      const tree = await thawTree(this.#shop.site, image, about, scope)
      const host = new Host(tree, this.#lines)
      this.#hold(host)
      const bounded = withTimeout(scope, this.request.compute.launch_timeout * 1000)
      await host.awake(frozen.kept as Kept, bounded)
      this.#row = { ...this.#row, frozen: null }
      this.#shop.journal.services.record(this.#row)
      await this.#shop.site.engine.discard(image)
      this.#diskBytes = 0
      this.#state = 'ready'
      this.#reason = null
      this.#lastEnd = performance.now()
      this.#thawSeconds = (performance.now() - begun) / 1000
    } catch (error) {
      await this.#down()
      if (existsSync(directory)) this.#state = 'frozen'
      else await this.#forgetFrozen()
      this.#reason = `It could not be thawed: ${(error as Error).message}`
      throw error
    }
  }

  async #freeze(scope: Scope): Promise<void> {
    const host = this.#host
    if (this.#state === 'frozen') return
    if (host === null || this.#state !== 'ready') {
      throw new ThawError('WRONG_STATE', `${this.name} is ${this.#state}; only what serves can be frozen.`)
    }
    if (!(await this.#quiet(FREEZE_PATIENCE))) {
      throw new ThawError('WRONG_STATE', `${this.name} cannot be frozen while calls run.`)
    }
    await this.#calls.refresh()
    this.#state = 'freezing'
    const kept = host.describe()
    let image
    try {
      image = await host.freeze(scope)
    } catch (error) {
      this.#state = 'ready'
      throw error
    }
    const frozen = {
      directory: image.directory.slice(this.#shop.images.length + 1),
      files: this.#code.digests,
      callables: this.#callables,
      kept,
      calls: this.#callCount,
      failed: this.#failCount,
    }
    this.#row = { ...this.#row, frozen }
    this.#shop.journal.services.record(this.#row)
    await this.#down()
    this.#diskBytes = directoryBytes(image.directory)
    this.#state = 'frozen'
    this.#reason = null
  }

  /** Waits until no call runs, or so long. */
  async #quiet(milliseconds: number): Promise<boolean> {
    const end = performance.now() + milliseconds
    while (this.#calls.running > 0 && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 2))
    return this.#calls.running === 0
  }

  /** What of the files is not what serves, and not known to be unfit. */
  #news(): Changes | null {
    const changes = this.#code.changes()
    if (changes === null || this.#stale === null) {
      if (changes === null) this.#stale = null
      return changes
    }
    const { sources } = this.#stale
    const isSame = [...changes.sources].every(
      ([path, content]) => sources.get(path)?.equals(content) === true,
    )
    return isSame && sources.size === changes.sources.size ? null : changes
  }

  /** New code in place of the old, where files have changed. What does not fit is remembered, and the old serves. */
  async #sync(scope: Scope, renamed: boolean): Promise<void> {
    const host = this.#host
    const changes = this.#news()
    if (host === null || (changes === null && !renamed)) return
    await this.#quiet(RELOAD_PATIENCE)
    const begun = performance.now()
    const sources = changes?.sources ?? new Map<string, Buffer>()
    const version = changes?.version ?? this.#version
    const { callables } = this.request.source
    try {
      if (changes !== null && this.request.compute.reload === 'exact') {
        return await this.#reloadExactly(host, sources, begun, scope)
      }
      const told = await host.patch(sources, { version, callables }, scope)
      changes?.settle()
      this.#stale = null
      this.#know(told.files, told.callables)
      await this.#calls.refresh()
      if (changes !== null) this.#tellReload('patched', begun, told.report)
    } catch (error) {
      if (!(error instanceof ThawError) || !['SYNTAX_ERROR', 'RELOAD_FAILED'].includes(error.code))
        throw error
      const { file = '', line = 0 } = (error.details ?? {}) as { file?: string; line?: number }
      this.#stale = { file, line, message: error.message, sources }
    }
  }

  /** The state becomes that of a load of the new code. */
  async #reloadExactly(
    host: Host,
    sources: ReadonlyMap<string, Buffer>,
    begun: number,
    scope: Scope,
  ): Promise<void> {
    const { launch_timeout: limit } = this.request.compute
    const loaded = await host
      .rewind(sources, withTimeout(scope, limit * 1000))
      .catch(async (error: unknown) => {
        if (error instanceof ThawError && error.code === 'SYNTAX_ERROR') throw error
        await this.#end()
        this.#state = 'failed'
        throw this.#launchError(ThawError.from(error))
      })
    if (loaded === null) {
      await this.#end()
      await this.#start(scope)
    } else {
      await this.#calls.refresh()
      await this.#serve(host, loaded, scope)
    }
    this.#stale = null
    const report = { patched: [], executed: [], removed: [] }
    this.#tellReload(loaded === null ? 'loaded' : 'restored', begun, report)
  }

  #tellReload(
    how: ServiceReload['how'],
    begun: number,
    report: Pick<ServiceReload, 'patched' | 'executed' | 'removed'>,
  ): void {
    const seconds = (performance.now() - begun) / 1000
    this.#reload = { at: new Date().toISOString(), version: this.#version, how, seconds, ...report }
  }

  #asError(): ThawError {
    const { file, line, message } = this.#stale as CodeFault
    return new ThawError('SYNTAX_ERROR', `${message} The code before it serves on.`, {
      details: { file, line },
    })
  }

  /** New workers in place of the old. */
  async #renew(scope: Scope): Promise<void> {
    const host = this.#host as Host
    await this.#quiet(RELOAD_PATIENCE)
    await this.#calls.refresh()
    const old = host.workers.filter(({ alone }) => !alone)
    const { workers } = this.request.compute
    await Promise.all(Array.from({ length: workers }, () => host.fork(this.#version, scope)))
    // The memory of a large one takes a while to be given back, which is nobody's wait.
    for (const worker of old) void host.kill(worker)
  }

  /** Nothing runs any more, and nothing frozen is kept. */
  async #end(): Promise<void> {
    await this.#down()
    await this.#forgetFrozen()
  }

  async #forgetFrozen(): Promise<void> {
    const { frozen } = this.#row
    this.#state = 'stopped'
    this.#diskBytes = 0
    if (frozen === null) return
    this.#row = { ...this.#row, frozen: null }
    this.#shop.journal.services.record(this.#row)
    removeTree(join(this.#shop.images, frozen.directory))
  }

  /** No process runs any more. */
  async #down(): Promise<void> {
    const [host, lines] = [this.#host, this.#lines]
    this.#host = null
    this.#lines = null
    await host?.[Symbol.asyncDispose]()
    await lines?.[Symbol.asyncDispose]()
    if (this.#state === 'ready') this.#state = 'stopped'
  }

  get #socket(): string {
    return join(this.#shop.sockets, `${this.name}.sock`)
  }

  get #listener() {
    return {
      output: (stream: 'stdout' | 'stderr', bytes: Buffer) => {
        this.#log.append(stream, bytes)
        this.#lastWords = Buffer.concat([this.#lastWords, bytes]).subarray(-LAST_WORDS)
        return true
      },
    }
  }

  #record({ printed }: CallRequest, tail: Tail): CallRequest['printed'] {
    return (stream, bytes) => {
      this.#listener.output(stream, bytes)
      tail.add(stream, bytes)
      return printed(stream, bytes)
    }
  }
}

/** Pids as seen from here, by what they are within. */
function pidsWithin(pids: readonly number[]): Map<number, number> {
  const found = new Map<number, number>()
  for (const pid of pids) {
    try {
      const inner = /^NSpid:.*?(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
      found.set(Number(inner), pid)
    } catch {
      // It has ended.
    }
  }
  return found
}

function faultOf({ file, line, message }: CodeFault): CodeFault {
  return { file, line, message }
}
