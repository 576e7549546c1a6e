/** All snapshots of a daemon: made, offered, watched over, rebuilt, given up. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type {
  BuildStep,
  Image,
  Snapshot,
  SnapshotLine,
  SnapshotRequest,
  SnapshotVerification,
} from '@thaw/protocol'
import { ProcessImage } from '../../engines/process/image.js'
import type { ImageCare } from '../../engines/process/keeper.js'
import type { Journal, SnapshotRow } from '../../store/index.js'
import {
  openScope,
  sweepCgroups,
  ThawError,
  within,
  withTimeout,
  type Log,
  type Scope,
} from '../../system/index.js'
import { fits, newId, notFound } from '../ids.js'
import type { Images } from '../images/images.js'
import { madeWith, openCopy, type Copy } from '../instances/body.js'
import type { Bench } from '../instances/boot.js'
import { build, type Built } from './build.js'
import { choose, type Offered } from './offer.js'
import { nextRebuild, type HealthEvent } from './health.js'
import { Checked, measure } from './integrity.js'
import { Leases } from './leases.js'
import { OneSnapshot } from './one.js'
import { Temporary } from './temporary.js'
import { newRow } from './row.js'
import { outdated, type Bounds } from './retention.js'

export interface SnapshotOptions {
  journal: Journal
  images: Images
  /** Whose copies lie in `directory`. */
  bench: Bench
  /** Of copies in `directory`: they are compressed when they rest. */
  care: ImageCare
  /** For what temporary instances print. */
  logs: string
  directory: string
  bounds: Bounds
  log: Log
}

/** What stands on snapshots. */
export interface Dependents {
  /** Names of what stands on one. */
  of(snapshot: string): string[]
  /** It is being removed: with what stands on it, or that has to do without. */
  lose(snapshot: string, how: { cascade: boolean }): Promise<void>
  /** Its state has changed. */
  changed(): void
}

/** A copy that is in use: its directory stays while it is. */
export interface Lease extends Disposable {
  readonly snapshot: string
  readonly copy: Copy
  readonly image: Image
}

const BUILD_TIMEOUT = 3_600_000
const LONGEST_PAUSE = 3_600_000

export class Snapshots implements AsyncDisposable {
  readonly directory: string
  readonly #journal: Journal
  readonly #images: Images
  readonly #bench: Bench
  readonly #care: ImageCare
  readonly #logs: string
  readonly #bounds: Bounds
  readonly #log: Log
  readonly #all = new Map<string, OneSnapshot>()
  readonly #checked = new Checked()
  readonly #leases = new Leases(() => this.#collect())
  readonly #controller = new AbortController()
  /** Builds go one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #dependents: Dependents | null = null

  /** Removes what an interrupted build or removal left; what was ready is offered again. */
  constructor(options: SnapshotOptions) {
    this.#journal = options.journal
    this.#images = options.images
    this.#bench = options.bench
    this.#care = options.care
    this.#logs = options.logs
    const left = new Set(existsSync(this.#logs) ? readdirSync(this.#logs) : [])
    if (left.size > 0) sweepCgroups((name) => left.has(name))
    rmSync(this.#logs, { recursive: true, force: true })
    this.directory = options.directory
    this.#bounds = options.bounds
    this.#log = options.log
    for (const row of this.#journal.snapshots.list().reverse()) this.#load(row)
    const known = new Set([...this.#all.values()].map(({ row }) => row.directory))
    for (const name of readdirSync(this.directory)) {
      if (!known.has(name)) rmSync(join(this.directory, name), { recursive: true, force: true })
    }
    this.#schedule()
  }

  standUnder(dependents: Dependents): void {
    this.#dependents = dependents
  }

  /** Newest first. */
  list(): Snapshot[] {
    return [...this.#all.values()].reverse().map((one) => one.describe(this.directory))
  }

  /** @throws ThawError SNAPSHOT_NOT_FOUND, AMBIGUOUS_ID */
  get(given: string): Snapshot {
    return this.#find(given).describe(this.directory)
  }

  lines(given: string, follow: boolean, signal?: AbortSignal): AsyncGenerator<SnapshotLine> {
    return this.#find(given).lines(follow, signal)
  }

  get busy(): boolean {
    return [...this.#all.values()].some(({ building }) => building !== null)
  }

  /**
   * Begins one. `built` tells when it is there.
   *
   * @throws ThawError IMAGE_NOT_FOUND, SNAPSHOT_NOT_FOUND, NAME_TAKEN, INVALID_REQUEST
   */
  create(request: SnapshotRequest, automatic = false): Snapshot {
    const parent = request.from === null ? null : this.#find(request.from)
    if (parent === null && request.image === null) {
      throw new ThawError('INVALID_REQUEST', 'Neither an image nor a parent is given.')
    }
    const image = this.#images.get(parent?.row.snapshot.image_id ?? request.image ?? '')
    if (parent !== null && request.image !== null && this.#images.get(request.image).id !== image.id) {
      throw new ThawError('INVALID_REQUEST', `${parent.id} is of ${image.name}, not of ${request.image}.`)
    }
    const { name, prepare } = request
    this.checkName(name)
    const id = newId('s')
    const one = new OneSnapshot(newRow({ id, name, prepare, automatic, image, parent: parent?.id ?? null }))
    this.#journal.snapshots.record(one.row)
    this.#all.set(id, one)
    this.#begin(one)
    return one.describe(this.directory)
  }

  /** @throws ThawError NAME_TAKEN */
  checkName(name: string | null): void {
    if (name !== null && this.#offered().some(({ row }) => row.snapshot.name === name)) {
      throw new ThawError('NAME_TAKEN', `There is a snapshot ${name} already.`)
    }
  }

  /** For a copy that comes from elsewhere: an empty directory, and the name that it gets when it is whole. What no snapshot has become goes in the end. */
  draft(): { path: string; final: string } & Disposable {
    const path = mkdtempSync(join(this.directory, 'import-'))
    const final = `${path}-whole`
    const leases = [path, final].map((one) => this.#leases.hold(one.slice(this.directory.length + 1)))
    return { path, final, [Symbol.dispose]: () => leases.forEach((lease) => lease[Symbol.dispose]()) }
  }

  /** One whose copy was made elsewhere. @throws ThawError NAME_TAKEN */
  adopt(about: { image: Image; name: string | null; prepare: string[] | null }, made: Built): Snapshot {
    this.checkName(about.name)
    const one = new OneSnapshot(newRow({ id: newId('s'), parent: null, automatic: false, ...about }))
    this.#all.set(one.id, one)
    this.#keep(one, made)
    one.say('imported')
    return one.describe(this.directory)
  }

  /** Waits for the build that is under way. @throws ThawError SNAPSHOT_FAILED, TIMEOUT, CANCELLED */
  async built(given: string, scope: Scope): Promise<Snapshot> {
    const one = this.#find(given)
    if (one.building !== null) await within(scope, 'waiting for a snapshot', one.building)
    if (one.state === 'ready') return one.describe(this.directory)
    throw new ThawError('SNAPSHOT_FAILED', one.row.snapshot.reason ?? `${one.id} is ${one.state}.`)
  }

  /** Makes it anew; one that is ready is offered until the next is there. A build that is under way goes on. */
  rebuild(given: string): Snapshot {
    const one = this.#find(given)
    if (one.building === null) {
      this.#advance(one, { what: 'build begun', asked: true })
      this.#begin(one)
    }
    return one.describe(this.directory)
  }

  /** Reads all of it, restores it, and asks whether what it became is ready. What comes of it counts like any use. */
  async verify(given: string, scope: Scope): Promise<SnapshotVerification> {
    const one = this.#find(given)
    const began = performance.now()
    const seconds = () => (performance.now() - began) / 1000
    try {
      if (one.row.directory !== null) this.#checked.forget(join(this.directory, one.row.directory))
      using lease = await this.open(one.id, scope)
      const image = this.#images.get(one.row.snapshot.image_id)
      const source = { kind: 'warm' as const, image: lease.copy }
      await using restored = await Temporary.boot(this.#bench, image, source, this.#logs, scope)
      await restored.verify(scope)
    } catch (error) {
      const { code, message } = ThawError.from(error)
      if (code === 'CANCELLED') throw error
      if (one.state === 'ready') this.failed(one.id, message)
      return { ok: false, reason: message, seconds: seconds() }
    }
    this.used(one.id)
    return { ok: true, reason: null, seconds: seconds() }
  }

  /**
   * Gives one up. Its files go when the last instance that was restored from it has ended.
   *
   * @returns ids of what was removed
   * @throws ThawError HAS_DEPENDENTS
   */
  async remove(given: string, how: { cascade: boolean; force: boolean }): Promise<string[]> {
    const one = this.#find(given)
    const children = this.#offered().filter(({ row }) => row.snapshot.parent === one.id)
    const pools = this.#dependents?.of(one.id) ?? []
    if (!how.cascade && !how.force && children.length + pools.length > 0) {
      const names = [...children.map(({ id }) => id), ...pools].join(', ')
      throw new ThawError(
        'HAS_DEPENDENTS',
        `${names} ${children.length + pools.length === 1 ? 'depends' : 'depend'} on ${one.id}.`,
        {
          hint: 'Remove what depends on it first, or pass --cascade (with it) or --force (it does without).',
        },
      )
    }
    const removed: string[] = []
    if (how.cascade) for (const child of children) removed.push(...(await this.remove(child.id, how)))
    this.#advance(one, { what: 'deleted' })
    one.say('deleted')
    await this.#dependents?.lose(one.id, { cascade: how.cascade })
    this.#collect()
    return [...removed, one.id]
  }

  /**
   * The snapshot that new instances of an image are to come from, or a certain one, waiting for one that is being made.
   *
   * @param wait milliseconds
   * @throws ThawError SNAPSHOT_NOT_FOUND, and of the scope
   */
  async offer(of: Image | string, wait: number, scope: Scope): Promise<Offered> {
    if (typeof of === 'string') {
      const list = () => [this.#find(of)].filter(({ state }) => state !== 'deleted')
      return await choose(list, `snapshot ${of} was deleted`, wait, scope)
    }
    const list = () =>
      this.#offered().filter(({ row: { snapshot: s } }) => {
        return s.image_id === of.id && s.parent === null && s.prepare === null
      })
    return await choose(list, `no snapshot of ${of.name} exists`, wait, scope)
  }

  /** How long the start takes that it spares; null: it was never built. */
  coldSeconds(id: string): number | null {
    return this.#all.get(id)?.row.snapshot.cold_seconds ?? null
  }

  /** Ids of those that an image is needed for. */
  ofImage(image: Image): string[] {
    return this.#offered().flatMap(({ id, row }) => (row.snapshot.image_id === image.id ? [id] : []))
  }

  /** Commands that were run in what a snapshot is of, in their order. */
  preparations(id: string): string[][] {
    const { parent, prepare } = this.#find(id).row.snapshot
    const before = parent === null ? [] : this.preparations(parent)
    return prepare === null ? before : [...before, prepare]
  }

  /**
   * The copy of one, whole.
   *
   * @throws ThawError IMAGE_BROKEN, SNAPSHOT_FAILED when there is none to restore
   */
  async open(id: string, scope: Scope): Promise<Lease> {
    const one = this.#find(id)
    const { directory, digests } = one.row
    if (directory === null || one.state !== 'ready') {
      throw new ThawError(
        'SNAPSHOT_FAILED',
        `Snapshot ${one.id} is ${one.state}${one.row.snapshot.reason === null ? '' : ` (${one.row.snapshot.reason})`}.`,
      )
    }
    const lease = this.#leases.hold(directory)
    try {
      const copy = openCopy(one.row.snapshot.engine, join(this.directory, directory))
      // Only those of processes are ever packed.
      using _whole = copy instanceof ProcessImage ? await this.#care.use(copy) : null
      await this.#checked.check(copy.directory, digests, scope)
      return Object.assign(lease, { snapshot: id, copy, image: this.#images.get(one.row.snapshot.image_id) })
    } catch (error) {
      lease[Symbol.dispose]()
      throw error
    }
  }

  /** A copy takes more or less of the disk than before. */
  measure(path: string): void {
    const one = [...this.#all.values()].find(({ row: { directory } }) => {
      return directory !== null && join(this.directory, directory) === path
    })
    if (one === undefined) return
    try {
      const { manifest } = ProcessImage.open(path)
      const { stored } = measure(path, Object.keys(one.row.digests))
      one.row.snapshot.stored_bytes = stored + (manifest.packed?.stored ?? 0)
      this.#record(one)
    } catch (error) {
      this.#log.warn('A snapshot could not be measured.', { snapshot: one.id, error })
    }
  }

  /** Something restored from it became ready. */
  used(id: string): void {
    const one = this.#all.get(id)
    if (one === undefined) return
    one.row.snapshot.last_used_at = new Date().toISOString()
    this.#advance(one, { what: 'used' })
  }

  /** It could not be restored, or what was restored did not become ready. */
  failed(id: string, reason: string): void {
    const one = this.#all.get(id)
    if (one === undefined) return
    this.#advance(one, { what: 'failed', reason })
    one.say(`failure ${one.row.snapshot.consecutive_failures} in a row: ${reason}`)
    if (one.state === 'unhealthy') this.#log.warn('A snapshot is unhealthy.', { snapshot: id, reason })
  }

  /** Counts a use of an image; the one that is due has a snapshot made. @param due which; 0: none */
  countUse(image: Image, due: number): void {
    try {
      const count = this.#journal.snapshots.countUse(image.id)
      if (due === 0 || count < due) return
      if (this.#offered().some(({ row }) => row.snapshot.image_id === image.id)) return
      this.create({ image: image.id, from: null, name: null, prepare: null }, true)
    } catch (error) {
      this.#log.warn('A use of an image could not be counted.', { error })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer)
    this.#controller.abort()
    await this.#turn
  }

  /** Names and ids of deleted ones are free. */
  #offered(): OneSnapshot[] {
    return [...this.#all.values()].filter(({ state }) => state !== 'deleted')
  }

  #find(given: string): OneSnapshot {
    const exact = this.#all.get(given) ?? this.#offered().find(({ row }) => row.snapshot.name === given)
    if (exact !== undefined) return exact
    const found = [...this.#all.values()].filter(({ id }) => fits(given, id))
    if (found.length > 1) {
      throw new ThawError('AMBIGUOUS_ID', `${given} fits ${found.map(({ id }) => id).join(', ')}.`)
    }
    const [one] = found
    if (one === undefined) throw notFound('SNAPSHOT_NOT_FOUND', 'snapshot', given, this.list())
    return one
  }

  #load(row: SnapshotRow): void {
    const one = new OneSnapshot(row)
    this.#all.set(one.id, one)
    one.step = null
    if (row.directory !== null && !existsSync(join(this.directory, row.directory, 'manifest.json'))) {
      row.directory = null
    }
    if (one.state === 'creating' || (one.state === 'ready' && row.directory === null)) {
      const what =
        one.state === 'creating' ? 'the daemon ended while it was being built' : 'its files are gone'
      one.advance({ what: 'build failed', reason: what })
      if (one.state === 'ready') {
        // Nothing of it can be restored, so it is not for the failures to tell.
        Object.assign(row.snapshot, { state: 'unhealthy', reason: what })
        row.rebuild_at = nextRebuild({ ...row, ...EMPTY }, Date.now())
      }
      one.say(what)
    }
    if (one.state === 'deleted') this.#forget(one)
    else this.#record(one)
  }

  #begin(one: OneSnapshot): void {
    const done = this.#turn.then(() => this.#make(one))
    this.#turn = done.catch(() => {})
    one.building = done.finally(() => {
      one.settled()
      this.#collect()
      this.#retain()
      this.#schedule()
      this.#dependents?.changed()
    })
    one.building.catch(() => {})
  }

  async #make(one: OneSnapshot): Promise<void> {
    const { snapshot } = one.row
    const began = performance.now()
    const scope = withTimeout(
      openScope(this.#log.child({ snapshot: one.id }), this.#controller.signal),
      BUILD_TIMEOUT,
    )
    const tell = (step: BuildStep, text: string) => {
      one.step = step
      one.say(`${step}: ${text}`)
      this.#log.info('snapshot', { snapshot: one.id, step, text })
    }
    try {
      if (one.state === 'deleted' || scope.signal.aborted) return
      const image = this.#images.get(snapshot.image_id)
      using parent = snapshot.parent === null ? null : await this.open(snapshot.parent, scope)
      const spec = { image, from: parent?.copy ?? null, prepare: snapshot.prepare }
      const made = await build(this.#bench, spec, this.#logs, tell, scope)
      const before =
        snapshot.parent === null ? 0 : (this.#find(snapshot.parent).row.snapshot.cold_seconds ?? 0)
      snapshot.builds++
      snapshot.build_seconds = (performance.now() - began) / 1000
      this.#keep(one, { ...made, seconds: before + made.seconds })
      one.say(`ready after ${((performance.now() - began) / 1000).toFixed(2)} s`)
    } catch (error) {
      const { message } = ThawError.from(error)
      one.step = null
      one.say(`failed: ${message}`)
      this.#log.warn('A snapshot could not be built.', { snapshot: one.id, error })
      this.#advance(one, { what: 'build failed', reason: message })
    }
  }

  #keep(one: OneSnapshot, { copy, digests, sizes, seconds }: Built): void {
    const { version, kernel } = madeWith(copy)
    one.row.directory = copy.directory.slice(this.directory.length + 1)
    one.row.digests = digests
    Object.assign(one.row.snapshot, {
      memory_bytes: sizes.memory,
      disk_bytes: sizes.disk,
      stored_bytes: sizes.stored,
      engine_version: version,
      kernel,
      cold_seconds: seconds,
      ready_at: new Date().toISOString(),
    })
    one.step = null
    this.#advance(one, { what: 'built' })
  }

  #advance(one: OneSnapshot, event: HealthEvent): void {
    one.advance(event)
    this.#record(one)
    this.#schedule()
    this.#dependents?.changed()
  }

  /** What the journal cannot take now is said, and known until the daemon ends. */
  #record(one: OneSnapshot): void {
    try {
      this.#journal.snapshots.record(one.row)
    } catch (error) {
      this.#log.error('A snapshot could not be recorded.', { snapshot: one.id, error })
    }
  }

  /** Removes what nobody offers and nobody uses. */
  #collect(): void {
    for (const one of this.#all.values()) {
      const { directory } = one.row
      if (one.state !== 'deleted' || one.building !== null) continue
      if (directory === null || !this.#leases.has(directory)) this.#forget(one)
    }
    if (this.busy) return
    const known = new Set([...this.#all.values()].map(({ row }) => row.directory))
    for (const name of readdirSync(this.directory)) {
      if (known.has(name) || this.#leases.has(name)) continue
      this.#checked.forget(join(this.directory, name))
      this.#care.discard(join(this.directory, name))
    }
  }

  #forget(one: OneSnapshot): void {
    this.#journal.snapshots.forget(one.id)
    this.#all.delete(one.id)
  }

  #retain(): void {
    const parents = new Set(this.#offered().map(({ row }) => row.snapshot.parent))
    const candidates = this.#offered().map((one) => {
      const { automatic, stored_bytes: bytes, last_used_at, created_at } = one.row.snapshot
      const stood = parents.has(one.id) || (this.#dependents?.of(one.id) ?? []).length > 0
      const needed = one.building !== null || stood
      return { id: one.id, automatic, bytes, used: Date.parse(last_used_at ?? created_at), needed }
    })
    for (const id of outdated(candidates, this.#bounds, Date.now())) {
      this.#log.info('A snapshot is given up.', { snapshot: id })
      this.#advance(this.#find(id), { what: 'deleted' })
    }
    this.#collect()
  }

  /** Looks again when the next rebuild is due. */
  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#controller.signal.aborted) return
    const due = [...this.#all.values()].flatMap(({ row }) =>
      row.rebuild_at === null ? [] : [row.rebuild_at],
    )
    const pause = Math.max(0, Math.min(LONGEST_PAUSE, ...due.map((at) => at - Date.now())))
    this.#timer = setTimeout(() => this.#look(), pause).unref()
  }

  #look(): void {
    for (const one of this.#offered()) {
      if (one.row.rebuild_at === null || one.row.rebuild_at > Date.now() || one.building !== null) continue
      one.say(`rebuilt by itself, the ${one.row.rebuilds + 1}. time`)
      this.#advance(one, { what: 'build begun', asked: false })
      this.#begin(one)
    }
    this.#retain()
    this.#schedule()
  }
}

const EMPTY = {
  reason: null,
  built: false,
  success_count: 0,
  failure_count: 0,
  consecutive_failures: 0,
  state: 'unhealthy',
} as const
