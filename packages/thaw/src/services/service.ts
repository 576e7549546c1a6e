/** One service: what is asked of it, one change at a time, and its calls. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CodeFault, Service as ServiceDocument, ServiceRepair, ServiceState } from '@thaw/protocol'
import { Steps } from '../repair/steps.js'
import { InstanceLog } from '../snapshots/instances/log.js'
import type { ServiceRow } from '../store/index.js'
import { openScope, removeTree, ThawError, type Scope } from '../system/index.js'
import type { Beside } from '../snapshots/instances/body.js'
import { startBeside, type BesideRequest } from './beside.js'
import { asResult, Calls, type Result } from './calls.js'
import type { Kept } from './kept.js'
import { Idleness } from './idleness.js'
import { Life, type LifeSite } from './life.js'
import type { CallRequest } from './party.js'
import { Reload, RELOAD_PATIENCE } from './reload.js'
import { isRaised, Repairs, Tail, withoutStanding, type AskForEdit } from './repair.js'
import { Stops } from './stops.js'
import { memoryOf } from './tree.js'
import { Turns } from './turns.js'

/** So long a freeze waits for calls that run. Milliseconds. */
const FREEZE_PATIENCE = 60_000
/** Of what a call is given, so much is told to a repairer. Characters. */
const GIVEN = 1200

export interface Shop extends LifeSite {
  /** Directory of logs. */
  logs: string
  /** Directory of steps of repairs. */
  repairs: string
  ask: AskForEdit
}

export interface Called extends Result {
  stale: CodeFault | null
  /** Diffs of edits that it needed. */
  repaired: string[]
}

export class Service implements Kept {
  readonly #shop: Shop
  readonly #log: InstanceLog
  readonly #life: Life
  readonly #calls: Calls
  readonly #reload: Reload
  /** Calls at breakpoints. */
  readonly stops: Stops
  readonly #repairs = new Repairs()
  readonly #steps: Steps
  #callCount = 0
  #failCount = 0
  readonly #idleness = new Idleness()
  readonly #turns = new Turns(() => this.onChange())
  /** What is said to those who come after its end; null: it has not ended. */
  #over: (() => ThawError) | null = null
  /** Being brought to where it can be called; null: it is not. */
  #opening: Promise<void> | null = null
  /** Told when it has changed, for those who count. */
  onChange: () => void = () => {}

  constructor(shop: Shop, row: ServiceRow) {
    this.#shop = shop
    const { name, compute } = row.request
    this.#log = new InstanceLog(join(shop.logs, name), shop.log)
    this.#steps = new Steps(join(shop.repairs, name))
    this.#steps.recover()
    this.stops = new Stops({
      name,
      limit: () => this.request.compute.debug_timeout,
      slot: (call) => this.#life.host?.slot(call),
      number: () => this.#calls.number(),
      now: () => {
        const { code, version } = this.#life
        const { callables } = this.request.source
        return { version: code.changes()?.version ?? version, callables, files: code.files }
      },
      kill: (pid) => this.#life.host?.end(pid),
      keepAwake: () => this.keepAwake(),
    })
    this.#life = new Life(shop, row, this.#log, this.stops, (change) => this.#inTurn(change))
    this.#calls = new Calls(compute, {
      host: () => this.#life.host,
      version: () => this.#life.version,
      isOpen: () => this.#isOpen(),
      open: (first) => this.#open(first),
      stops: this.stops,
      log: shop.log,
    })
    this.#calls.onQuiet = () => this.#idleness.end()
    this.#reload = new Reload(this.#life, this.#calls)
    this.#callCount = row.frozen?.calls ?? 0
    this.#failCount = row.frozen?.failed ?? 0
  }

  get name(): string {
    return this.request.name
  }

  get request(): ServiceRow['request'] {
    return this.#life.request
  }

  get state(): ServiceState {
    return this.#life.state
  }

  get running(): number {
    return this.#calls.running
  }

  get log(): InstanceLog {
    return this.#log
  }

  /** Whether it would lose anything with the daemon. */
  get isLive(): boolean {
    return this.#life.host !== null || this.#turns.isBusy
  }

  /** Pids of all its processes as seen from here, the root first. */
  get pids(): number[] {
    return this.#life.host?.tree.pids() ?? []
  }

  describe(): ServiceDocument {
    const { env, repair, ...compute } = this.request.compute
    const { running, waiting } = this.#calls
    const { host, row, version, callables, code } = this.#life
    const pids = this.pids
    const outer = pidsWithin(pids)
    return {
      name: this.name,
      state: this.state,
      reason: this.#life.reason,
      source: this.request.source,
      app: null,
      compute: { ...compute, env: Object.keys(env).sort(), repair: repair !== null },
      engine: host?.tree.engine ?? (row.frozen === null ? null : 'process'),
      version: version === '' ? null : version,
      callables,
      files: code.files,
      stale: this.#reload.stale,
      reload: this.#reload.last,
      calls: this.#callCount,
      failed: this.#failCount,
      running,
      waiting,
      stops: this.stops.list().length,
      workers: (host?.workers ?? [])
        .filter(({ alone }) => !alone)
        .map((worker) => {
          const pid = outer.get(worker.pid) ?? worker.pid
          return { pid, running: worker.running, memory_bytes: memoryOf([pid]) }
        }),
      parked: host?.parked ?? 0,
      memory_bytes: memoryOf(pids),
      disk_bytes: this.#life.diskBytes,
      start_seconds: this.#life.startSeconds,
      thaw_seconds: this.#life.thawSeconds,
      idle_seconds: running > 0 ? null : this.#idleness.since(this.#life.readySince) / 1000,
      created_at: row.created_at,
    }
  }

  /** It does not rest while this is held: a shell, a debugger. */
  keepAwake(): Disposable {
    return this.#idleness.hold()
  }

  /**
   * @throws ThawError what `Calls.carry` throws; CODE_VERSION; SERVICE_FAILED, LAUNCH_TIMEOUT and SYNTAX_ERROR when it
   * has to be started and cannot be
   */
  async call(request: CallRequest, version: string | null): Promise<Called> {
    const { repair } = this.request.compute
    this.#callCount++
    const tail = repair === null ? null : new Tail()
    const begin = () => this.#expect(version)
    const carry = async (): Promise<Called> => {
      const result = await this.#calls.carry({ ...request, printed: this.#record(request, tail) }, begin)
      return { ...result, stale: this.#reload.stale, repaired: [] }
    }
    try {
      return await carry()
    } catch (error) {
      this.#failCount++
      if (repair === null || tail === null || !isRaised(error)) throw error
      // Who wants the code of one version wants no other.
      if (version !== null) throw withoutStanding(error)
      return await this.#repair(error, repair, request, tail, carry)
    }
  }

  /**
   * The call that stopped at a breakpoint last goes on from there once more, with the code of now. Nothing of it is in the state of
   * the service.
   *
   * @throws ThawError NO_BREAKPOINT, CANCELLED, and what a call throws
   */
  async again(printed: CallRequest['printed'], signal: AbortSignal): Promise<Result> {
    try {
      return asResult(await this.stops.again(printed, signal))
    } catch (error) {
      throw signal.aborted ? new ThawError('CANCELLED', 'The caller went away.') : error
    }
  }

  /** As Kept.exec. */
  async exec(given: BesideRequest, scope: Scope): Promise<Beside> {
    const around = {
      name: this.name,
      awake: this.keepAwake(),
      tree: async () => {
        await this.thaw(scope)
        return this.#life.host?.tree
      },
      env: async () => (await this.#shop.python(this.request, scope)).env,
      cwd: this.#life.root,
    }
    return await startBeside(around, given, scope)
  }

  /** What is called is another's, or more; what it is given is as told from now on. It is started. */
  async deploy(request: ServiceRow['request'], scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      const before = this.request
      this.#life.ask(request)
      this.#calls.compute = request.compute
      // Another environment holds from the next start on: two shells are never quite alike.
      const lasting = ({ compute }: ServiceRow['request']) => {
        const { python, engine, pickle, workers, reload, repair } = compute
        return JSON.stringify([python, engine, pickle, workers, reload, repair !== null])
      }
      if (lasting(before) !== lasting(request)) await this.#life.end()
      await this.#life.rise(scope)
      this.#reload.forgive()
      const isRenamed = JSON.stringify(before.source.callables) !== JSON.stringify(request.source.callables)
      await this.#reload.sync(scope, isRenamed)
      const { fault } = this.#reload
      if (fault !== null) throw fault
    })
  }

  /** The state is that right after loading. Calls that run end with WORKER_CRASHED. */
  async reset(scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      const { host } = this.#life
      if (this.state !== 'ready' || host === null) {
        await this.#life.end()
        return this.#life.rise(scope)
      }
      await this.#calls.quiet(RELOAD_PATIENCE)
      await this.#calls.refresh()
      await this.#life.renew(host, scope)
    })
  }

  /** Everything is loaded anew. */
  async restart(scope: Scope): Promise<void> {
    await this.#inTurn(async () => {
      await this.#life.end()
      await this.#life.rise(scope)
    })
  }

  /** @throws ThawError UNSUPPORTED, and why it cannot be copied; it serves on then */
  async freeze(scope: Scope): Promise<void> {
    await this.#inTurn(() => this.#freeze(scope))
  }

  async thaw(scope: Scope): Promise<void> {
    await this.#inTurn(() => this.#life.rise(scope))
  }

  async stop(): Promise<void> {
    await this.#inTurn(() => this.#life.end())
  }

  /** Its files are changed, while no call begins. */
  async change(work: () => void): Promise<void> {
    await this.#inTurn(async () => work())
  }

  /** Nothing of it is left. */
  async remove(): Promise<void> {
    await this.#inTurn(async () => {
      this.#over = () => new ThawError('SERVICE_NOT_FOUND', `${this.name} has been removed.`)
      await this.#life.end()
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
      if (action === 'stop') return this.#life.end()
      try {
        await this.#freeze(openScope(this.#shop.log))
      } catch (error) {
        this.#life.reason = `It could not be frozen: ${(error as Error).message}`
        this.#idleness.end()
      }
    }).catch((error: unknown) => this.#shop.log.warn('A service could not rest.', { name: this.name, error }))
  }

  /** At the daemon's end: frozen where that is possible, else ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#life.host?.tree.engine === 'process' && this.#calls.running === 0) {
        await this.#freeze(openScope(this.#shop.log)).catch((error: unknown) =>
          this.#shop.log.warn('A service ends with the daemon.', { name: this.name, error }),
        )
      }
      this.#over = () => new ThawError('DAEMON_STOPPING', `${this.name} ends with the daemon.`)
      await this.#life.down()
    })
    this.#log.close()
  }

  async #freeze(scope: Scope): Promise<void> {
    const { host } = this.#life
    if (this.state === 'frozen') return
    if (host === null || this.state !== 'ready') {
      throw new ThawError('WRONG_STATE', `${this.name} is ${this.state}; only what serves can be frozen.`)
    }
    if (!(await this.#calls.quiet(FREEZE_PATIENCE))) {
      throw new ThawError('WRONG_STATE', `${this.name} cannot be frozen while calls run.`)
    }
    await this.#calls.refresh()
    await this.#life.freeze(host, { calls: this.#callCount, failed: this.#failCount }, scope)
  }

  async #repair(
    error: ThawError,
    repair: ServiceRepair,
    { fn, kind, body }: CallRequest,
    printed: Tail,
    carry: () => Promise<Called>,
  ): Promise<Called> {
    using _awake = this.keepAwake()
    const scope = openScope(this.#shop.log)
    const { root } = this.#life
    const prepare = async () => {
      const { argv, env } = await this.#shop.python(this.request, scope)
      const given = kind === 'json' ? Buffer.from(body).toString('utf8', 0, GIVEN) : `<${kind}>`
      const about = {
        id: `svc-${this.name}`,
        project: root,
        cwd: root,
        command: [fn, given],
        output: printed.text(),
        env,
        python: argv[0] as string,
      }
      const apply = async () => {
        await this.#inTurn(() => this.#reload.sync(scope, false))
        return this.#reload.stale
      }
      return { about, repair, steps: this.#steps, ask: this.#shop.ask, apply }
    }
    const called = await this.#repairs.repair(error, () => this.#life.version, carry, prepare, scope)
    const edits = called.repaired.length
    if (edits > 0) this.#shop.log.info('A call was repaired.', { service: this.name, fn, edits })
    return called
  }

  #isDue(ttl: number | null): boolean {
    const { running, waiting } = this.#calls
    const isBusy = this.state !== 'ready' || running > 0 || waiting > 0
    return !isBusy && this.#idleness.isOver(ttl, this.#life.readySince)
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return await this.#turns.run(async () => {
      if (this.#over !== null) throw this.#over()
      return await work()
    })
  }

  /** Whether it serves, with the code of now, and nothing is being changed. */
  #isOpen(): boolean {
    if (this.#over !== null) throw this.#over()
    if (this.#turns.isBusy || this.state !== 'ready') return false
    return this.request.compute.sync !== 'call' || this.#reload.news() === null
  }

  /** Brings it there, for all who wait. Who goes away leaves that to those who stay. */
  async #open(first: boolean): Promise<void> {
    if (this.#opening === null && this.#turns.isBusy) return await this.#turns.settled()
    // What had begun before may fail for what has been mended since.
    const isOlder = first && this.#opening !== null
    this.#opening ??= this.#inTurn(async () => {
      const scope = openScope(this.#shop.log)
      await this.#life.rise(scope)
      if (this.request.compute.sync === 'call') await this.#reload.sync(scope, false)
    }).finally(() => (this.#opening = null))
    try {
      await this.#opening
    } catch (error) {
      if (!isOlder) throw error
    }
  }

  /** @throws ThawError CODE_VERSION */
  #expect(version: string | null): void {
    if (version === null || version === this.#life.version) return
    const { stale } = this.#reload
    const why = stale === null ? '' : ` (${stale.file}:${stale.line}: ${stale.message})`
    throw new ThawError('CODE_VERSION', `${this.name} serves ${this.#life.version}, not ${version}${why}.`)
  }

  #record({ printed }: CallRequest, tail: Tail | null): CallRequest['printed'] {
    return (stream, bytes) => {
      this.#life.said(stream, bytes)
      tail?.add(stream, bytes)
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
