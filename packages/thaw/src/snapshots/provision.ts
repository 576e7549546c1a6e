/** New instances, by the fastest way there is: from a pool, from a snapshot, by a start. */
import { InstanceRequest, type BootMethod, type Image, type Instance } from '@thaw/protocol'
import {
  ThawError,
  type ErrorCode,
  type FallbackReason,
  type Log,
  type Metrics,
  type Scope,
} from '../system/index.js'
import type { Images } from './images/images.js'
import type { Creation, Instances } from './instances/instances.js'
import type { Offer, Supplier } from './instances/supplier.js'
import type { Snapshots } from './kept/snapshots.js'
import type { Member, Pool } from './pools/pool.js'
import type { Pools } from './pools/pools.js'

/** Failures of the request or of the machine, which a start would meet too. */
const NOT_THE_SNAPSHOT: ReadonlySet<ErrorCode> = new Set([
  'CANCELLED',
  'DAEMON_STOPPING',
  'DISK_FULL',
  'ENGINE_MISSING',
  'INVALID_REQUEST',
  'PORT_IN_USE',
  'SETUP_FAILED',
])

/** Of failures that are the snapshot's; others: the restore. */
const REASONS: Partial<Record<ErrorCode, FallbackReason>> = {
  IMAGE_BROKEN: 'damaged',
  IMAGE_MISMATCH: 'mismatch',
  NOT_READY: 'readiness',
}

export interface ProvisionSettings {
  /** Milliseconds that a new instance waits for a snapshot that is being made. */
  wait: number
  /** Which use of an image has a snapshot made of it; 0: none. */
  automatic: number
}

interface Parts {
  images: Images
  instances: Instances
  snapshots: Snapshots
  pools: Pools
  metrics: Metrics
  log: Log
}

export class Provision {
  readonly #parts: Parts
  readonly #settings: ProvisionSettings

  constructor(parts: Parts, settings: ProvisionSettings) {
    this.#parts = parts
    this.#settings = settings
  }

  /**
   * An instance of an image, from a pool or a snapshot of it where there is one.
   *
   * @param kind what the log calls it
   * @throws ThawError as Instances.create
   */
  create(request: InstanceRequest, scope: Scope, kind = 'Instance'): Creation {
    const { images, pools } = this.#parts
    const image = images.get(request.image)
    const own = ownWay(request)
    const pooled = own === null && pools.has(image)
    const taken = pooled ? pools.take({ image }) : null
    return this.#begin({ image, own, pooled, taken, snapshot: null, kind }, request, scope)
  }

  /**
   * An instance of a certain snapshot; where that fails, a start and what was run in the snapshot.
   *
   * @throws ThawError SNAPSHOT_NOT_FOUND, and as Instances.create
   */
  createFrom(snapshot: string, given: Partial<InstanceRequest>, scope: Scope): Creation {
    const found = this.#parts.snapshots.get(snapshot)
    if (found.state === 'deleted')
      throw new ThawError('SNAPSHOT_NOT_FOUND', `The snapshot ${snapshot} was deleted.`)
    return this.#fromSnapshot(found.id, null, given, scope)
  }

  /** An instance of a pool; where that is empty, of one of its snapshots. */
  take(pool: string, given: Partial<InstanceRequest>, scope: Scope): Creation {
    const { pools } = this.#parts
    const taken = pools.take({ pool })
    const { snapshots, name } = pools.row(pool)
    const snapshot = taken?.member.snapshot ?? snapshots[0]
    if (snapshot === undefined)
      throw new ThawError('SNAPSHOT_NOT_FOUND', `The pool ${name} has no snapshot any more.`)
    return this.#fromSnapshot(snapshot, { taken }, given, scope)
  }

  #fromSnapshot(
    id: string,
    pool: { taken: Wish['taken'] } | null,
    given: Partial<InstanceRequest>,
    scope: Scope,
  ): Creation {
    const { images, snapshots } = this.#parts
    const image = images.get(snapshots.get(id).image_id)
    const request = InstanceRequest.parse({ ...given, image: image.id })
    const own = ownWay(request)
    if (own !== null) throw new ThawError('INVALID_REQUEST', `What is restored cannot be given that: ${own}.`)
    const wish = { image, own, pooled: pool !== null, taken: pool?.taken ?? null, snapshot: id }
    return this.#begin({ ...wish, kind: 'Instance' }, request, scope)
  }

  #begin(wish: Wish, request: InstanceRequest, scope: Scope): Creation {
    const choice = new Choice(this.#parts, this.#settings, wish)
    try {
      const creation = this.#parts.instances.create(request, scope, choice)
      void this.#parts.pools.whileWaiting(() => creation.ready).catch(() => {})
      return creation
    } catch (error) {
      choice.unused()
      throw error
    }
  }
}

interface Wish {
  image: Image
  /** Why it has to be started; null: it need not. */
  own: string | null
  /** Whether it is to come from a pool, and what was taken of that; null: it was empty. */
  pooled: boolean
  taken: { pool: Pool; member: Member } | null
  /** Which it has to come from; null: any plain one of the image. */
  snapshot: string | null
  kind: string
}

/** The ways in which one instance is tried to be made. */
class Choice implements Supplier {
  readonly #parts: Parts
  readonly #settings: ProvisionSettings
  readonly #wish: Wish
  readonly #began = performance.now()
  readonly #reasons: string[] = []
  #taken: Wish['taken']
  /** What was offered last. */
  #current: { method: BootMethod; snapshot: string | null } = { method: 'cold', snapshot: null }
  #warmTried = false

  constructor(parts: Parts, settings: ProvisionSettings, wish: Wish) {
    this.#parts = parts
    this.#settings = settings
    this.#wish = wish
    this.#taken = wish.taken
    if (wish.own !== null) this.#reasons.push(wish.own)
    else if (wish.pooled && wish.taken === null) {
      this.#reasons.push('its pool is empty')
      parts.metrics.fellBack('pool_empty')
    }
  }

  get id(): string | null {
    return this.#wish.taken?.member.held.id ?? null
  }

  get expected(): { kind: BootMethod; from: string | null } {
    const { taken } = this.#wish
    return taken === null ? { kind: 'cold', from: null } : { kind: 'pool', from: taken.member.snapshot }
  }

  /** Nothing was made of what was taken. */
  unused(): void {
    const { taken } = this.#wish
    void taken?.member.held[Symbol.asyncDispose]().then(() => taken.member.lease[Symbol.dispose]())
  }

  async next(before: ThawError | null, scope: Scope): Promise<Offer> {
    if (before !== null) this.#failed(before)
    if (this.#taken !== null) {
      const { held, lease, snapshot } = this.#taken.member
      this.#taken = null
      return this.#offer({ kind: 'pool', held }, snapshot, lease)
    }
    if (this.#wish.own === null && !this.#warmTried) {
      this.#warmTried = true
      const offer = await this.#warm(scope)
      if (offer !== null) return offer
    }
    const { snapshot } = this.#wish
    const prepare = snapshot === null ? [] : this.#parts.snapshots.preparations(snapshot)
    return { ...this.#offer({ kind: 'cold' }, null, null), prepare }
  }

  goesOn(failure: ThawError): boolean {
    return !NOT_THE_SNAPSHOT.has(failure.code)
  }

  ready(instance: Instance, seconds: number): number | null {
    const { method, snapshot } = this.#current
    const { kind, image, taken } = this.#wish
    const { snapshots, log } = this.#parts
    // Counted after it: a build that this use begins does not slow down this start.
    snapshots.countUse(image, this.#wish.own === null ? this.#settings.automatic : 0)
    if (snapshot === null) {
      this.#parts.metrics.booted(method, seconds, 0)
      log.info(`${kind} ${instance.name} fully provisioned via cold boot (${seconds.toFixed(2)} s)`, {
        id: instance.id,
      })
      return null
    }
    snapshots.used(snapshot)
    if (method === 'pool' && taken !== null)
      taken.pool.took((taken.member.held.releasedAt ?? 0) - this.#began)
    const cold = snapshots.coldSeconds(snapshot)
    const saved = cold === null ? null : Math.max(0, cold - seconds)
    this.#parts.metrics.booted(method, seconds, saved ?? 0)
    const from = method === 'pool' ? `warm boot from pool ${taken?.pool.row.name ?? ''}` : 'warm boot'
    log.info(
      `${kind} ${instance.name} fully provisioned via ${from} (saved ~${saved === null ? '?' : inWords(saved)}s)`,
      {
        id: instance.id,
        snapshot,
      },
    )
    return saved
  }

  async #warm(scope: Scope): Promise<Offer | null> {
    const { snapshots } = this.#parts
    const { image, snapshot: wanted } = this.#wish
    const found = await snapshots.offer(wanted ?? image, this.#settings.wait, scope)
    if ('reason' in found) {
      this.#because(found.why, found.reason)
      return null
    }
    this.#current = { method: 'warm', snapshot: found.id }
    try {
      const lease = await snapshots.open(found.id, scope)
      return this.#offer({ kind: 'warm', image: lease.copy }, found.id, lease)
    } catch (error) {
      const known = ThawError.from(error)
      if (!this.goesOn(known)) throw known
      this.#failed(known)
      return null
    }
  }

  #offer(source: Offer['source'], from: string | null, lease: Disposable | null): Offer {
    this.#current = { method: source.kind, snapshot: from }
    const reason = this.#reasons.length === 0 ? null : this.#reasons.join('; ')
    return { source, from, reason, lease, prepare: [] }
  }

  #failed(error: ThawError): void {
    const { method, snapshot } = this.#current
    if (snapshot !== null) this.#parts.snapshots.failed(snapshot, error.message)
    const what = method === 'pool' ? 'a member of the pool' : `snapshot ${snapshot ?? ''}`
    this.#because(REASONS[error.code] ?? 'restore', `${what} failed: ${error.message}`)
  }

  #because(why: FallbackReason, reason: string): void {
    this.#reasons.push(reason)
    this.#parts.metrics.fellBack(why)
    const boot =
      this.#current.method === 'pool'
        ? 'Warm boot from a pool not possible, falling back to its snapshot'
        : 'Warm boot not possible, falling back to cold boot'
    this.#parts.log.info(`${boot}: ${reason}`, { image: this.#wish.image.name })
  }
}

/** What only a start can give; null: nothing of that is asked for. */
function ownWay(request: InstanceRequest): string | null {
  const own = request.container === null
  if (own && Object.keys(request.env).length > 0) return 'it has an environment of its own'
  if (own && request.user !== null) return 'it has a user of its own'
  if (own && request.files.length > 0) return 'files are to be there before it starts'
  return request.network === 'private' ? null : `its network is ${request.network}`
}

function inWords(seconds: number): string {
  return seconds < 10 ? seconds.toFixed(2) : String(Math.round(seconds))
}
