/** All pools of a daemon. Their members end with it, and are there again when the next one has begun. */
import type { Image, Pool as PoolDocument, PoolRequest } from '@thaw/protocol'
import type { Journal, PoolRow } from '../../store/index.js'
import { ThawError, type Log } from '../../system/index.js'
import { fits, newId, notFound } from '../ids.js'
import type { Bench } from '../instances/boot.js'
import { Held } from '../instances/held.js'
import type { Dependents, Snapshots } from '../kept/snapshots.js'
import { Marks } from './marks.js'
import { Pool, type Member, type Supply } from './pool.js'

export interface PoolDefaults {
  size: number
  refreshSeconds: number
  /** Most members of one pool. */
  limit: number
}

export class Pools implements AsyncDisposable, Dependents {
  readonly #journal: Journal
  readonly #snapshots: Snapshots
  readonly #bench: () => Bench
  readonly #defaults: PoolDefaults
  readonly #marks: Marks
  readonly #log: Log
  readonly #all = new Map<string, Pool>()
  /** Instances that are being made now. */
  #waiting = 0
  readonly #quiet = new Set<() => void>()

  /** Begins to fill those of the daemon before. */
  constructor(parts: {
    journal: Journal
    snapshots: Snapshots
    bench: () => Bench
    defaults: PoolDefaults
    /** Of this class alone. */
    directory: string
    log: Log
  }) {
    this.#journal = parts.journal
    this.#snapshots = parts.snapshots
    this.#bench = parts.bench
    this.#defaults = parts.defaults
    this.#marks = new Marks(parts.directory)
    this.#log = parts.log
    for (const row of this.#journal.pools.list())
      this.#all.set(row.id, new Pool(row, this.#supply, this.#log))
    this.#snapshots.standUnder(this)
    this.changed()
  }

  /** Newest first. */
  list(): PoolDocument[] {
    return [...this.#all.values()].reverse().map((pool) => pool.describe())
  }

  /** @throws ThawError POOL_NOT_FOUND, AMBIGUOUS_ID */
  get(given: string): PoolDocument {
    return this.#find(given).describe()
  }

  /** What is kept of one: telling the rest means to measure the memory of every member. */
  row(given: string): PoolRow {
    return this.#find(given).row
  }

  /** Members that stand there, of all pools. */
  get members(): number {
    return [...this.#all.values()].reduce((sum, { size }) => sum + size, 0)
  }

  /** @throws ThawError SNAPSHOT_NOT_FOUND, NAME_TAKEN, INVALID_REQUEST */
  create(request: PoolRequest): PoolDocument {
    const snapshots = request.snapshots.map((given) => this.#snapshots.get(given))
    const [first] = snapshots
    const other = snapshots.find(({ image_id }) => image_id !== first?.image_id)
    if (first === undefined || other !== undefined) {
      throw new ThawError(
        'INVALID_REQUEST',
        `The snapshots of a pool are of one image; ${other?.id} is of ${other?.image}.`,
      )
    }
    const id = newId('p')
    const name = request.name ?? id.replace('_', '-')
    if ([...this.#all.values()].some(({ row }) => row.name === name)) {
      throw new ThawError('NAME_TAKEN', `There is a pool ${name} already.`)
    }
    const size = this.#checkedSize(request.size ?? this.#defaults.size)
    const row = {
      id,
      name,
      image: first.image,
      image_id: first.image_id,
      snapshots: [...new Set(snapshots.map((one) => one.id))],
      size,
      refresh_seconds: request.refresh_seconds ?? this.#defaults.refreshSeconds,
      drained: false,
      created_at: new Date().toISOString(),
    }
    this.#journal.pools.record(row)
    const pool = new Pool(row, this.#supply, this.#log)
    this.#all.set(id, pool)
    pool.fill()
    return pool.describe()
  }

  /** A member of a pool for an image, or of a certain pool; null: there is none. */
  take(from: { image: Image } | { pool: string }): { pool: Pool; member: Member } | null {
    const pools =
      'pool' in from
        ? [this.#find(from.pool)]
        : [...this.#all.values()].filter(
            ({ row }) => row.image === from.image.name && this.#isPlain(row.snapshots),
          )
    for (const pool of pools) {
      const member = pool.take()
      if (member !== null) return { pool, member }
    }
    return null
  }

  /** Whether there is a pool for an image. */
  has(image: Image): boolean {
    return [...this.#all.values()].some(
      ({ row }) => row.image_id === image.id && !row.drained && this.#isPlain(row.snapshots),
    )
  }

  /** Pools are filled while nothing else is being made. */
  async whileWaiting<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++
    try {
      return await work()
    } finally {
      if (--this.#waiting === 0) for (const resolve of this.#quiet) resolve()
    }
  }

  /** Waits until one is full, or cannot be filled. */
  async warm(given: string): Promise<PoolDocument> {
    const pool = this.#find(given)
    await pool.filled()
    return pool.describe()
  }

  /** It is filled, or cut down, to another size; one that was drained begins again. @throws ThawError INVALID_REQUEST */
  async resize(given: string, size: number): Promise<PoolDocument> {
    const pool = this.#find(given)
    this.#change(pool, { size: this.#checkedSize(size), drained: false })
    await pool.shrink()
    pool.fill()
    return pool.describe()
  }

  /** Its members end, and it gives nothing until it is resized. */
  async drain(given: string): Promise<PoolDocument> {
    const pool = this.#find(given)
    this.#change(pool, { drained: true })
    await pool.shrink()
    return pool.describe()
  }

  async refresh(given: string): Promise<PoolDocument> {
    const pool = this.#find(given)
    await pool.refresh()
    return pool.describe()
  }

  async remove(given: string): Promise<PoolDocument> {
    const pool = this.#find(given)
    this.#journal.pools.forget(pool.id)
    this.#all.delete(pool.id)
    const last = pool.describe()
    await pool[Symbol.asyncDispose]()
    return { ...last, ready: 0 }
  }

  of(snapshot: string): string[] {
    return [...this.#all.values()].flatMap(({ row }) => (row.snapshots.includes(snapshot) ? [row.name] : []))
  }

  async lose(snapshot: string, { cascade }: { cascade: boolean }): Promise<void> {
    for (const pool of this.#all.values()) {
      if (!pool.row.snapshots.includes(snapshot)) continue
      if (cascade) await this.remove(pool.id)
      else {
        this.#change(pool, { snapshots: pool.row.snapshots.filter((id) => id !== snapshot) })
        await pool.shrink()
      }
    }
  }

  changed(): void {
    for (const pool of this.#all.values()) pool.fill()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all.values()].map((pool) => pool[Symbol.asyncDispose]()))
  }

  get #supply(): Supply {
    return {
      usable: (snapshot) => this.#isReady(snapshot),
      failed: (snapshot, reason) => this.#snapshots.failed(snapshot, reason),
      restore: async (snapshot, scope) => {
        const id = newId('i')
        const mark = this.#marks.put(id)
        let lease: Disposable | null = null
        const back = () => {
          lease?.[Symbol.dispose]()
          mark[Symbol.dispose]()
        }
        try {
          const opened = await this.#snapshots.open(snapshot, scope)
          lease = opened
          const held = await Held.restore(this.#bench(), id, opened.copy, opened.image.ports, scope)
          return { snapshot, held, lease: { [Symbol.dispose]: back } }
        } catch (error) {
          back()
          throw error
        }
      },
      quiet: async () => {
        if (this.#waiting === 0) return
        await new Promise<void>((resolve) => {
          const done = () => {
            this.#quiet.delete(done)
            resolve()
          }
          this.#quiet.add(done)
        })
      },
    }
  }

  #isReady(snapshot: string): boolean {
    return this.#snapshots.list().some(({ id, state }) => id === snapshot && state === 'ready')
  }

  /** Whether instances of the image may come from these: nothing was run in them besides. */
  #isPlain(snapshots: readonly string[]): boolean {
    return snapshots.every((id) => this.#snapshots.preparations(id).length === 0)
  }

  #change(pool: Pool, change: Partial<Pool['row']>): void {
    pool.row = { ...pool.row, ...change }
    this.#journal.pools.record(pool.row)
  }

  #checkedSize(size: number): number {
    const { limit } = this.#defaults
    if (size >= 1 && size <= limit) return size
    throw new ThawError('INVALID_REQUEST', `A pool has from 1 to ${limit} members, not ${size}.`, {
      hint: 'The setting pool_limit says how many are allowed.',
    })
  }

  #find(given: string): Pool {
    const exact = this.#all.get(given) ?? [...this.#all.values()].find(({ row }) => row.name === given)
    if (exact !== undefined) return exact
    const found = [...this.#all.values()].filter(({ id }) => fits(given, id))
    if (found.length > 1) {
      throw new ThawError('AMBIGUOUS_ID', `${given} fits ${found.map(({ id }) => id).join(', ')}.`)
    }
    const [one] = found
    if (one === undefined)
      throw notFound(
        'POOL_NOT_FOUND',
        'pool',
        given,
        [...this.#all.values()].map(({ row }) => row),
      )
    return one
  }
}
