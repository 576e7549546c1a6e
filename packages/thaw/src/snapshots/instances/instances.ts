/** The instances of one daemon: they end with it, what is known of them stays. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  DOCKER_MACHINE,
  type ForkRequest,
  type Image,
  type Instance,
  type InstanceCheckpoint,
  type InstanceCheckpointRequest,
  type InstanceRequest,
  type InstanceStats,
  type Limits,
  type StopRequest,
} from '@thaw/protocol'
import { needsUserNamespace } from '../../engines/process/criu/provide.js'
import { ProcessGroup } from '../../engines/process/group.js'
import type { ImageCare } from '../../engines/process/keeper.js'
import type { ProcessEngine } from '../../engines/process/process.js'
import type { VmEngine } from '../../engines/vm/vm.js'
import type { InstanceCheckpointRow, InstanceRow, Journal } from '../../store/index.js'
import {
  Cgroup,
  openScope,
  preparePrivate,
  sweepCgroups,
  ThawError,
  type Log,
  type Scope,
} from '../../system/index.js'
import { newId, pick } from '../ids.js'
import type { Images } from '../images/images.js'
import { InstanceCheckpoints } from './checkpoints.js'
import { boot, runIn, type Bench } from './boot.js'
import { nameOf } from './held.js'
import { checkpointOf, limitsOf, openCopy, type Beside, type Body } from './body.js'
import { Living, ofMachine, type ExecSpec } from './living.js'
import { always, type Supplier } from './supplier.js'
import { InstanceLog, readLog, type Printed } from './log.js'

/** How often it is looked whether one has outlived its time. Milliseconds. */
const EXPIRE_EVERY = 500
const MACHINE_HINT = `\`thaw image build ${DOCKER_MACHINE} --docker\` makes one that can.`

/** Where checkpoints lie in their directory. */
export function checkpointsOf(directory: string): string {
  return join(directory, 'checkpoints')
}

/** An instance that is being made. */
export interface Creation {
  readonly instance: Instance
  /** Resolves when it is ready. */
  readonly ready: Promise<Instance>
}

export class Instances implements AsyncDisposable {
  readonly #journal: Journal
  readonly #images: Images
  readonly #engine: ProcessEngine
  readonly #machines: VmEngine
  readonly #directory: string
  readonly #log: Log
  readonly #group: ProcessGroup
  readonly #checkpoints: InstanceCheckpoints
  readonly #rootless = needsUserNamespace()
  readonly #living = new Map<string, Living>()
  /** What is done when their programs have ended. */
  readonly #ends = new Set<Promise<void> | undefined>()
  readonly #expiry: NodeJS.Timeout
  #closing = false

  /** @param directory of this class alone; what an earlier daemon left there is put in order */
  constructor(parts: {
    journal: Journal
    images: Images
    engine: ProcessEngine
    machines: VmEngine
    /** Of checkpoints. */
    care: ImageCare
    directory: string
    log: Log
  }) {
    this.#journal = parts.journal
    this.#images = parts.images
    this.#engine = parts.engine
    this.#machines = parts.machines
    this.#directory = parts.directory
    this.#log = parts.log
    preparePrivate(this.#directory)
    preparePrivate(this.#logs)
    this.#group = ProcessGroup.open(checkpointsOf(this.#directory), join(this.#directory, 'work'), parts.log)
    this.#checkpoints = new InstanceCheckpoints(parts.journal.instances, this.#group.images, parts.care)
    this.#recover()
    this.#expiry = setInterval(() => this.#expire(), EXPIRE_EVERY).unref()
  }

  /** How many have not ended. */
  live(): number {
    return this.#living.size
  }

  /** Newest first. */
  list(): Instance[] {
    return this.#journal.instances
      .list()
      .map(({ instance }) => this.#living.get(instance.id)?.document ?? instance)
  }

  /** By name, id or the beginning of an id. @throws ThawError INSTANCE_NOT_FOUND, AMBIGUOUS_ID */
  get(given: string): Instance {
    return pick(this.list(), given, 'instance')
  }

  /**
   * Makes an instance of an image.
   *
   * @param supplier what it is made of; default: it is started
   * @throws ThawError IMAGE_NOT_FOUND, NAME_TAKEN; `ready` rejects with NOT_READY and what the engine throws. The
   *   instance is then `failed`; when `scope` was aborted, nothing is left of it.
   */
  create(
    request: InstanceRequest,
    scope: Scope,
    supplier: Supplier = always({ kind: 'cold' }, null),
  ): Creation {
    return this.#begin(this.#images.get(request.image), request, supplier, scope)
  }

  /**
   * Clones of an instance as it is now, or as it was at a checkpoint. When one cannot be made, none is left.
   *
   * @param id of an instance; where a checkpoint is named it may be gone
   */
  async fork(id: string, request: ForkRequest, scope: Scope): Promise<Instance[]> {
    const { count, names } = request
    if (names.length > 0 && names.length !== count) {
      throw new ThawError('INVALID_REQUEST', `There are ${names.length} names for ${count} clones.`)
    }
    const given = request.checkpoint === null ? null : this.#checkpoints.get(request.checkpoint)
    const checkpoint = given?.checkpoint.id ?? newId('ic')
    try {
      return await this.#checkpoints.hold(checkpoint, async () =>
        this.#clones(given ?? (await this.#take(id, request, checkpoint, true)), request, scope),
      )
    } finally {
      this.#dropTemporary()
    }
  }

  /** @throws ThawError WRONG_STATE, and what the engine refuses; the instance runs on */
  async checkpoint(id: string, request: InstanceCheckpointRequest): Promise<InstanceCheckpoint> {
    this.#checkpoints.checkName(request.name)
    const { checkpoint } = await this.#take(id, request, newId('ic'), false)
    return checkpoint
  }

  /** Of one instance, or all; newest first. */
  checkpoints(instance: string | null): InstanceCheckpoint[] {
    const id = instance === null ? null : this.get(instance).id
    return this.#checkpoints.list(id).map(({ checkpoint }) => checkpoint)
  }

  /** @throws ThawError INSTANCE_NOT_FOUND, HAS_DEPENDENTS while clones of it live */
  removeCheckpoint(given: string): InstanceCheckpoint {
    const row = this.#checkpoints.get(given)
    const users = this.#usersOf(row.checkpoint.id)
    if (users.length > 0) {
      throw new ThawError('HAS_DEPENDENTS', `${users.join(', ')} still lives on ${row.checkpoint.id}.`, {
        hint: 'Stop that first.',
      })
    }
    this.#checkpoints.discard(row)
    return row.checkpoint
  }

  exec(id: string, spec: ExecSpec, scope: Scope): Promise<Beside> {
    return this.#find(id).exec(spec, scope)
  }

  pause(id: string): Instance {
    const living = this.#find(id)
    living.pause()
    return living.document
  }

  resume(id: string): Instance {
    const living = this.#find(id)
    living.resume()
    return living.document
  }

  stats(id: string): InstanceStats {
    return this.#find(id).measure()
  }

  /** What it has printed. */
  logs(id: string, follow: boolean, signal?: AbortSignal): AsyncIterable<Printed> {
    const instance = this.get(id)
    const living = this.#living.get(instance.id)
    if (living !== undefined) return living.log.read(follow, signal)
    const directory = this.#logOf(instance.id)
    return existsSync(directory) ? readLog(directory, this.#log) : nothing()
  }

  readFile(id: string, path: string): ReturnType<Body['readFile']> {
    const living = this.#find(id)
    void living.use(() => Promise.resolve())
    return living.running('ready', 'creating').readFile(path)
  }

  writeFile(id: string, path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
    const living = this.#find(id)
    return living.use(() => living.running('ready', 'creating').writeFile(path, content, mode))
  }

  /** Asks its program to end, and ends it when it does not. One that has ended is no error. */
  async stop(id: string, { signal, grace }: StopRequest): Promise<Instance> {
    const living = this.#living.get(this.get(id).id)
    if (living === undefined) return this.get(id)
    const branch = living.running('ready', 'paused')
    if (living.state === 'paused') living.resume()
    living.change({ reason: 'it was stopped' })
    await branch.signal(signal)
    await Promise.race([branch.exited, new Promise((resolve) => setTimeout(resolve, grace * 1000).unref())])
    await this.#end(living, 'stopped', 'it was stopped')
    return living.document
  }

  /** @throws ThawError WRONG_STATE for one that lives, without `force`; HAS_DEPENDENTS without `cascade` */
  async remove(given: string, how: { force: boolean; cascade: boolean }): Promise<Instance> {
    const instance = this.get(given)
    const living = this.#living.get(instance.id)
    if (living !== undefined && !how.force) {
      throw new ThawError('WRONG_STATE', `${instance.name} is ${instance.state}.`, {
        hint: 'Stop it first (`thaw instance stop`), or pass --force.',
      })
    }
    const kept = this.#checkpoints.list(instance.id)
    if (kept.length > 0 && !how.cascade) {
      throw new ThawError('HAS_DEPENDENTS', `${instance.name} has ${kept.length} checkpoints.`, {
        hint: 'Pass --cascade to remove them as well.',
      })
    }
    for (const { checkpoint } of kept) {
      const users = this.#usersOf(checkpoint.id)
      if (users.length > 0) {
        throw new ThawError('HAS_DEPENDENTS', `${users.join(', ')} lives on its checkpoint ${checkpoint.id}.`)
      }
    }
    if (living !== undefined) await this.#end(living, 'stopped', 'it was deleted')
    for (const row of kept) this.#checkpoints.discard(row)
    if (living === undefined) this.#journal.instances.forget(instance.id)
    else living.forget()
    rmSync(this.#logOf(instance.id), { recursive: true, force: true })
    return { ...(living?.document ?? instance), state: 'deleted' }
  }

  /** Names of instances that an image is needed for. */
  usersOfImage(image: Image): string[] {
    const live = [...this.#living.values()].filter((one) => one.origin.id === image.id)
    const kept = this.#checkpoints.list(null).filter(({ checkpoint }) => checkpoint.image === image.name)
    return [...live.map(({ document }) => document.name), ...kept.map(({ checkpoint }) => checkpoint.id)]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    clearInterval(this.#expiry)
    await Promise.all(
      [...this.#living.values()].map((one) => this.#end(one, 'stopped', 'the daemon was stopped')),
    )
    await Promise.all(this.#ends)
    this.#dropTemporary()
    await this.#group[Symbol.asyncDispose]()
  }

  get #logs(): string {
    return join(this.#directory, 'logs')
  }

  #logOf(id: string): string {
    return join(this.#logs, id)
  }

  #find(given: string): Living {
    const instance = this.get(given)
    const living = this.#living.get(instance.id)
    if (living !== undefined) return living
    const why = instance.reason === null ? '' : `: ${instance.reason}`
    throw new ThawError('WRONG_STATE', `${instance.name} is ${instance.state}${why}.`)
  }

  #begin(image: Image, request: InstanceRequest, supplier: Supplier, scope: Scope): Creation {
    if (this.#closing) throw new ThawError('DAEMON_STOPPING', 'The daemon is shutting down.')
    const container = request.container === null ? null : this.#containerOf(image, request.container)
    const living = this.#open(image, container, request, supplier)
    const began = performance.now()
    const ready = this.#boot(living, supplier, scope, began)
    ready.catch(() => {})
    return { instance: living.document, ready }
  }

  /** @throws ThawError IMAGE_NOT_FOUND, INVALID_REQUEST */
  #containerOf(machine: Image, given: string): Image {
    if (machine.engine !== 'vm') {
      throw new ThawError('INVALID_REQUEST', `${machine.name} has no machine that could run a container.`, {
        hint: MACHINE_HINT,
      })
    }
    const image = this.#images.get(given)
    if (this.#images.rootOf(image) !== null) return image
    throw new ThawError(
      'INVALID_REQUEST',
      `${image.name} has no root file system that a container could have.`,
      {
        hint: 'Import one (`thaw image import`).',
      },
    )
  }

  #open(image: Image, container: Image | null, request: InstanceRequest, supplier: Supplier): Living {
    const id = supplier.id ?? newId('i')
    const name = request.name ?? nameOf(id)
    if (this.#journal.instances.hasName(name)) {
      throw new ThawError('NAME_TAKEN', `There is an instance ${name} already.`)
    }
    const own = container === null ? request : ofMachine(request)
    const limits = wished(image, own)
    const user = own.user ?? image.user
    const limited = limitsOf(image, limits)
    const cgroup = new Cgroup(id, limited)
    const created = Date.now()
    const document: Instance = {
      id,
      name,
      image: image.name,
      container: container?.name ?? null,
      state: 'creating',
      reason: null,
      boot_method: supplier.expected.kind,
      from: supplier.expected.from,
      boot_reason: null,
      saved_seconds: null,
      network: request.network,
      ports: [],
      pid: null,
      limits,
      notes: [
        ...cgroup.missing.map((what) => `a limit cannot be kept here: ${what}`),
        ...(this.#rootless && user !== null && image.engine !== 'vm'
          ? [`it runs as you, not as ${user}: that takes root`]
          : []),
      ],
      exit: null,
      created_at: new Date(created).toISOString(),
      ready_at: null,
      ended_at: null,
      expires_at: request.ttl === null ? null : new Date(created + request.ttl * 1000).toISOString(),
      boot_seconds: null,
    }
    const living = this.#live(document, image, container, request, cgroup)
    living.change({})
    return living
  }

  #live(
    document: Instance,
    image: Image,
    container: Image | null,
    request: InstanceRequest,
    cgroup: Cgroup,
  ): Living {
    const log = new InstanceLog(this.#logOf(document.id), this.#log)
    const table = this.#journal.instances
    const rootless = this.#rootless
    const living = new Living({ document, image, container, request, log, cgroup, table, rootless })
    this.#living.set(document.id, living)
    return living
  }

  /** What brings instances up; also those that are held before somebody takes them. */
  get bench(): Bench {
    return {
      engine: this.#engine,
      group: this.#group,
      rootless: this.#rootless,
      rootOf: (image) => this.#images.rootOf(image),
      diskOf: (image) => this.#images.diskOf(image),
      machines: this.#machines,
    }
  }

  async #boot(begun: Living, supplier: Supplier, scope: Scope, began: number): Promise<Instance> {
    let living = begun
    let before: ThawError | null = null
    for (;;) {
      let cold = true
      try {
        const { source, from, reason, lease, prepare } = await supplier.next(before, scope)
        living.standOn(lease)
        cold = source.kind === 'cold'
        living.change({ boot_method: source.kind, from, boot_reason: reason })
        await boot(this.bench, living, source, scope)
        for (const command of prepare) await runIn(living, command, scope)
        break
      } catch (error) {
        before = ThawError.from(error)
        // What a container fails at is not its machine's fault.
        const itself = this.#living.get(living.id) === living && living.movedIn === null
        if (!cold && itself && supplier.goesOn(before)) {
          living = await this.#again(living)
          continue
        }
        await this.#end(living, 'failed', before.message)
        if (scope.signal.aborted) {
          await this.remove(living.id, { force: true, cascade: true }).catch(() => {})
        }
        throw before
      }
    }
    const seconds = (performance.now() - began) / 1000
    living.change({
      state: 'ready',
      ready_at: new Date().toISOString(),
      boot_seconds: seconds,
      saved_seconds: supplier.ready(living.document, ((living.movedIn ?? performance.now()) - began) / 1000),
    })
    const ended: Promise<void> | undefined = living.body?.exited
      .then(({ code, signal }) => {
        const lost = code === null ? 'its machine ended' : `it ended with exit code ${code}`
        const why = signal === null ? lost : `it was ended by ${signal}`
        living.change({ exit: { code, signal } })
        return this.#end(living, 'stopped', living.document.reason ?? why)
      })
      .finally(() => this.#ends.delete(ended))
    this.#ends.add(ended)
    return living.document
  }

  /** The same instance, of which nothing has begun yet. */
  async #again(failed: Living): Promise<Living> {
    const { document, origin, container, given } = failed
    await failed[Symbol.asyncDispose]()
    rmSync(this.#logOf(document.id), { recursive: true, force: true })
    const limited = limitsOf(origin, document.limits)
    const fresh = { ...document, exit: null, pid: null, ports: [] }
    return this.#live(fresh, origin, container, given, new Cgroup(document.id, limited))
  }

  /** Once: whoever comes first says why. */
  async #end(living: Living, state: 'stopped' | 'failed', reason: string): Promise<void> {
    if (this.#living.delete(living.id)) {
      living.change({ state, reason, ended_at: new Date().toISOString(), ports: [], pid: null })
    }
    await living[Symbol.asyncDispose]()
    const exit = living.body === null ? null : await living.body.exited
    if (exit !== null && living.document.exit === null) {
      living.change({ exit: { code: exit.code, signal: exit.signal } })
    }
    this.#dropTemporary()
  }

  async #clones(row: InstanceCheckpointRow, request: ForkRequest, scope: Scope): Promise<Instance[]> {
    const image = this.#images.get(row.checkpoint.image)
    const made: Creation[] = []
    try {
      for (let i = 0; i < request.count; i++) {
        const own: InstanceRequest = {
          ...row.request,
          name: request.names[i] ?? null,
          ttl: request.ttl,
          idle_ttl: request.idle_ttl,
          files: [],
          // Those of the machine are one's own.
          ports: row.request.ports?.map(({ port }) => ({ port, host: 0 })) ?? null,
        }
        const warm = always({ kind: 'warm', image: openCopy(image.engine, row.directory) }, row.checkpoint.id)
        made.push(this.#begin(image, own, warm, scope))
      }
      return await Promise.all(made.map(({ ready }) => ready))
    } catch (error) {
      await Promise.allSettled(made.map(({ ready }) => ready))
      await Promise.allSettled(
        made.map(({ instance }) => this.remove(instance.id, { force: true, cascade: true })),
      )
      throw error
    }
  }

  async #take(
    instance: string,
    { name = null, tcp }: Pick<InstanceCheckpointRequest, 'tcp'> & { name?: string | null },
    id: string,
    temporary: boolean,
  ): Promise<InstanceCheckpointRow> {
    const living = this.#find(instance)
    return await living.inTurn(() =>
      living.awake(async () => {
        const began = performance.now()
        const body = living.running('ready', 'paused')
        const image = await checkpointOf(this.bench, body, openScope(this.#log), { tcp })
        const row: InstanceCheckpointRow = {
          checkpoint: {
            id,
            instance: living.id,
            name,
            image: living.image.name,
            bytes: image.size,
            seconds: (performance.now() - began) / 1000,
            temporary,
            created_at: new Date().toISOString(),
          },
          directory: image.directory,
          request: living.request,
        }
        this.#checkpoints.record(row)
        return row
      }),
    )
  }

  /** Names of those that live on the files of a checkpoint. */
  #usersOf(checkpoint: string): string[] {
    return [...this.#living.values()].flatMap(({ document }) =>
      document.from === checkpoint ? [document.name] : [],
    )
  }

  #dropTemporary(): void {
    this.#checkpoints.dropTemporary((id) => this.#usersOf(id).length > 0)
  }

  /** What an earlier daemon left: its sandboxes ended with it. */
  #recover(): void {
    const rows = this.#journal.instances.list()
    for (const { instance, request } of rows) {
      if (instance.state === 'stopped' || instance.state === 'failed') continue
      const lost: InstanceRow = {
        instance: {
          ...instance,
          state: 'failed',
          reason: 'its daemon was killed',
          ended_at: new Date().toISOString(),
          ports: [],
          pid: null,
        },
        request,
      }
      this.#journal.instances.record(lost)
    }
    const ids = new Set(rows.map(({ instance }) => instance.id))
    sweepCgroups((name) => ids.has(name))
    for (const name of readdirSync(this.#logs)) {
      if (!ids.has(name)) rmSync(this.#logOf(name), { recursive: true, force: true })
    }
  }

  #expire(): void {
    for (const living of this.#living.values()) {
      const { document, request } = living
      const over = document.expires_at !== null && Date.parse(document.expires_at) <= Date.now()
      const idle =
        document.state === 'ready' && request.idle_ttl !== null && living.idleSeconds >= request.idle_ttl
      if (!over && !idle) continue
      this.#log.info('An instance has outlived its time.', { name: document.name, idle })
      this.remove(document.id, { force: true, cascade: true }).catch((error: unknown) => {
        this.#log.warn('An instance could not be deleted.', { name: document.name, error })
      })
    }
  }
}

/** What the request does not limit, the image does. */
function wished(image: Image, { limits: own }: InstanceRequest): Limits {
  const { cpu, memory, pids } = image.limits
  return { cpu: own?.cpu ?? cpu, memory: own?.memory ?? memory, pids: own?.pids ?? pids }
}

async function* nothing(): AsyncGenerator<Printed> {}
