/** The processes of one service: started, copied into workers, frozen to disk, thawed, ended. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceCallable, ServiceState } from '@thaw/protocol'
import { ProcessImage } from '../engines/process/image.js'
import type { InstanceLog } from '../snapshots/instances/log.js'
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
import { Code } from './code.js'
import { directoryBytes } from './disk.js'
import { Host, settingOf, type Kept, type Loaded } from './host.js'
import { LastWords } from './last-words.js'
import { LineServer } from './line.js'
import { isNode, nodeHost } from './node.js'
import type { Stops } from './stops.js'
import { startTree, thawTree, type Site } from './tree.js'

/** What the processes of services need of the daemon. */
export interface LifeSite {
  site: Site
  journal: Journal
  /** Directory of images. */
  images: string
  /** Where sockets are made. */
  sockets: string
  /** Which engine serves here. */
  engine(wanted: 'auto' | 'process' | 'plain', scope: Scope): Promise<'process' | 'plain'>
  python(
    request: ServiceRow['request'],
    scope: Scope,
  ): Promise<{ argv: string[]; env: Record<string, string> }>
  root(file: string): string
  log: Log
}

/** Changes one at a time is the owner's care. */
export class Life {
  readonly #site: LifeSite
  readonly #log: InstanceLog
  readonly #stops: Stops
  #row: ServiceRow
  #host: Host | null = null
  #lines: LineServer | null = null
  readonly #lastWords = new LastWords()
  readonly code: Code
  callables: ServiceCallable[] = []
  version = ''
  state: ServiceState = 'stopped'
  reason: string | null = null
  startSeconds: number | null = null
  thawSeconds: number | null = null
  diskBytes = 0
  /** How often all of it was loaded. */
  loads = 0
  /** When it could be called again. Milliseconds of performance.now(). */
  readySince = performance.now()
  /** Runs a change when it is its turn. */
  readonly #inTurn: (change: () => Promise<void>) => Promise<void>

  constructor(
    site: LifeSite,
    row: ServiceRow,
    log: InstanceLog,
    stops: Stops,
    inTurn: (change: () => Promise<void>) => Promise<void>,
  ) {
    this.#stops = stops
    this.#site = site
    this.#row = row
    this.#log = log
    this.#inTurn = inTurn
    this.code = new Code(this.root)
    const { frozen } = row
    if (frozen === null) return
    this.state = 'frozen'
    this.know(frozen.files, frozen.callables as ServiceCallable[])
    this.diskBytes = directoryBytes(join(site.images, frozen.directory))
  }

  get host(): Host | null {
    return this.#host
  }

  get row(): ServiceRow {
    return this.#row
  }

  get request(): ServiceRow['request'] {
    return this.#row.request
  }

  /** Where its code lies. */
  get root(): string {
    const { file, root } = this.request.source
    return root ?? this.#site.root(file)
  }

  /** Writes down what is asked of it from now on. */
  ask(request: ServiceRow['request']): void {
    this.#record({ ...this.#row, request })
  }

  /** From whatever it is to ready. */
  async rise(scope: Scope): Promise<void> {
    if (this.state === 'ready') return
    if (this.#row.frozen !== null) return this.#thaw(scope)
    await this.start(scope)
  }

  async start(scope: Scope): Promise<void> {
    const { compute } = this.request
    const begun = performance.now()
    const bounded = withTimeout(scope, compute.launch_timeout * 1000)
    this.state = 'starting'
    this.#lastWords.clear()
    try {
      const engine = await this.#site.engine(compute.engine, bounded)
      const { argv, env, setting: more } = await this.#command(bounded)
      this.#lines = await LineServer.listen(this.#socket, this.#site.log)
      const setting = { socket: this.#socket, ...settingOf(this.request, this.root), ...more }
      const tree = await startTree(
        this.#site.site,
        engine,
        {
          id: `svc-${this.request.name}`,
          argv,
          env: { ...env, THAW_SERVICE: JSON.stringify(setting) },
          cwd: this.root,
          listener: this.#listener,
        },
        bounded,
      )
      const host = new Host(tree, this.#lines)
      this.#hold(host)
      await this.serve(host, await host.loaded(bounded), bounded)
      this.startSeconds = (performance.now() - begun) / 1000
      this.loads++
    } catch (error) {
      await this.down()
      throw this.#failed(error)
    }
  }

  /** It is loaded: workers are forked, and it can be called. */
  async serve(host: Host, loaded: Loaded, scope: Scope): Promise<void> {
    this.know(loaded.files, loaded.callables)
    const forks = Array.from({ length: this.request.compute.workers }, () => host.fork(this.version, scope))
    await Promise.all(forks)
    this.#ready()
  }

  /** What is loaded. `files`: SHA-256 by path. */
  know(files: Readonly<Record<string, string>>, callables: ServiceCallable[]): void {
    this.code.loaded(files)
    this.version = this.code.version
    this.callables = callables
  }

  /**
   * The state becomes that right before what the new code changes, and the rest is loaded anew.
   *
   * @returns whether that could be done from a moment of the load; else everything was loaded
   * @throws ThawError SYNTAX_ERROR, and all is as it was
   */
  async rewind(host: Host, sources: ReadonlyMap<string, Buffer>, scope: Scope): Promise<boolean> {
    const { launch_timeout: limit } = this.request.compute
    const loaded = await host
      .rewind(sources, withTimeout(scope, limit * 1000))
      .catch(async (error: unknown) => {
        if (error instanceof ThawError && error.code === 'SYNTAX_ERROR') throw error
        await this.end()
        throw this.#failed(error)
      })
    if (loaded === null) {
      await this.end()
      await this.start(scope)
    } else await this.serve(host, loaded, scope)
    return loaded !== null
  }

  /** New workers in place of the old. */
  async renew(host: Host, scope: Scope): Promise<void> {
    const old = host.workers.filter(({ alone }) => !alone)
    const { workers } = this.request.compute
    await Promise.all(Array.from({ length: workers }, () => host.fork(this.version, scope)))
    // The memory of a large one takes a while to be given back, which is nobody's wait.
    for (const worker of old) void host.kill(worker)
  }

  /**
   * To disk, and no process is left.
   *
   * @param counts written down with it
   * @throws ThawError UNSUPPORTED, and why it cannot be copied; it serves on then
   */
  async freeze(host: Host, counts: { calls: number; failed: number }, scope: Scope): Promise<void> {
    this.state = 'freezing'
    let kept, image
    try {
      await this.#stops.drop()
      // One that has crashed just now is not to be missing later.
      await this.#replenish(host)
      // The pages of each process are written by themselves, shared or not. Node's workers would have to load everything again.
      if (!isNode(this.request.source.file)) await host.killUnused()
      kept = host.describe()
      image = await host.freeze(scope)
    } catch (error) {
      this.state = 'ready'
      await this.#replenish(host)
      throw error
    }
    const frozen = {
      directory: image.directory.slice(this.#site.images.length + 1),
      files: this.code.digests,
      callables: this.callables,
      kept,
      ...counts,
    }
    this.#record({ ...this.#row, frozen })
    await this.down()
    this.diskBytes = directoryBytes(image.directory)
    this.state = 'frozen'
    this.reason = null
  }

  /** Nothing runs any more, and nothing frozen is kept. `reason`: asked when all that it printed is known. */
  async end(reason?: () => string): Promise<void> {
    await this.down(reason)
    this.#forgetFrozen()
  }

  /** No process runs any more. */
  async down(reason?: () => string): Promise<void> {
    const [host, lines] = [this.#host, this.#lines]
    this.#host = null
    this.#lines = null
    await host?.[Symbol.asyncDispose]()
    await lines?.[Symbol.asyncDispose]()
    if (reason !== undefined) this.reason = reason()
    if (this.state === 'ready') this.state = 'stopped'
  }

  /** It printed something. */
  said(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.#log.append(stream, bytes)
    this.#lastWords.add(bytes)
  }

  async #thaw(scope: Scope): Promise<void> {
    const { frozen } = this.#row
    if (frozen === null) return
    const begun = performance.now()
    const directory = join(this.#site.images, frozen.directory)
    this.state = 'thawing'
    try {
      const image = ProcessImage.open(directory)
      this.#lines = await LineServer.listen(this.#socket, this.#site.log)
      const about = { id: `svc-${this.request.name}`, listener: this.#listener }
      const tree = await thawTree(this.#site.site, image, about, scope)
      const host = new Host(tree, this.#lines)
      this.#hold(host)
      const bounded = withTimeout(scope, this.request.compute.launch_timeout * 1000)
      await host.awake(frozen.kept as Kept, bounded)
      await this.#replenish(host)
      this.#record({ ...this.#row, frozen: null })
      await this.#site.site.engine.discard(image)
      this.diskBytes = 0
      this.#ready()
      this.thawSeconds = (performance.now() - begun) / 1000
    } catch (error) {
      await this.down()
      if (existsSync(directory)) this.state = 'frozen'
      else this.#forgetFrozen()
      this.reason = `It could not be thawed: ${(error as Error).message}`
      throw error
    }
  }

  #ready(): void {
    this.state = 'ready'
    this.reason = null
    this.readySince = performance.now()
  }

  #hold(host: Host): void {
    this.#host = host
    host.onDebug = (hello, line) => this.#stops.hear(hello, line)
    host.onGone = () => {
      void this.#inTurn(async () => {
        if (this.#host !== host) return
        await this.end(() => `Its processes have ended. ${this.#lastWords.toString()}`)
      })
    }
    host.onWorkerGone = (worker) => {
      if (worker.alone || this.#host !== host || this.state !== 'ready') return
      this.reason = 'A worker has crashed, and was replaced.'
      // Calls wait meanwhile: nothing could serve them.
      void this.#inTurn(async () => {
        await this.#replenish(host)
      }).catch((error: unknown) => this.#site.log.warn('A worker could not be replaced.', { error }))
    }
  }

  /** What is started, by the language of the file. */
  async #command(
    scope: Scope,
  ): Promise<{ argv: string[]; env: Record<string, string>; setting: Record<string, unknown> }> {
    if (isNode(this.request.source.file)) return nodeHost(this.request)
    const { argv, env } = await this.#site.python(this.request, scope)
    const program = join(agentsDirectory(), 'python', 'thaw_agent', 'service_host.py')
    return { argv: [...argv, program], env, setting: {} }
  }

  /** As many workers as there are to be. */
  async #replenish(host: Host): Promise<void> {
    while (this.#host === host) {
      if (host.workers.filter(({ alone }) => !alone).length >= this.request.compute.workers) return
      await host.fork(this.version, openScope(this.#site.log))
    }
  }

  #failed(error: unknown): ThawError {
    const known = this.#launchError(ThawError.from(error))
    this.state = 'failed'
    this.reason = known.message
    return known
  }

  #launchError(error: ThawError): ThawError {
    const { name, compute } = this.request
    if (error.code === 'TIMEOUT') {
      const text = `${name} was not ready within ${compute.launch_timeout} s. ${this.#lastWords.toString()}`
      return new ThawError('LAUNCH_TIMEOUT', text)
    }
    if (error.code !== 'WORKER_CRASHED') return error
    return new ThawError('SERVICE_FAILED', `${name} ended while it started. ${this.#lastWords.toString()}`)
  }

  #forgetFrozen(): void {
    const { frozen } = this.#row
    this.state = 'stopped'
    this.diskBytes = 0
    if (frozen === null) return
    this.#record({ ...this.#row, frozen: null })
    removeTree(join(this.#site.images, frozen.directory))
  }

  #record(row: ServiceRow): void {
    this.#row = row
    this.#site.journal.services.record(row)
  }

  get #socket(): string {
    return join(this.#site.sockets, `${this.request.name}.sock`)
  }

  get #listener() {
    return {
      output: (stream: 'stdout' | 'stderr', bytes: Buffer) => {
        this.said(stream, bytes)
        return true
      },
    }
  }
}
