/** One pool: its members, and how it stays full. */
import type { Pool as PoolDocument } from '@thaw/protocol'
import type { PoolRow } from '../../store/index.js'
import { ThawError, type Log, type Scope } from '../../system/index.js'
import type { Held } from '../instances/held.js'
import { Latencies } from './latencies.js'

/** A copy that stands still, and what it stands on. */
export interface Member {
  snapshot: string
  held: Held
  lease: Disposable
  /** Milliseconds of `performance.now()`. */
  since: number
}

/** What a pool needs of others. */
export interface Supply {
  /** @throws ThawError when a snapshot cannot be restored */
  restore(snapshot: string, scope: Scope): Promise<Omit<Member, 'since'>>
  usable(snapshot: string): boolean
  failed(snapshot: string, reason: string): void
  /** Resolves when nobody waits for an instance: whoever does goes first. */
  quiet(): Promise<void>
}

const FIRST_PAUSE = 1000
const LONGEST_PAUSE = 60_000

export class Pool implements AsyncDisposable {
  row: PoolRow
  readonly #supply: Supply
  readonly #log: Log
  readonly #controller = new AbortController()
  readonly #members: Member[] = []
  readonly #latencies = new Latencies()
  #hits = 0
  #misses = 0
  /** Which snapshot serves next, for takes and for fills. */
  #nextTake = 0
  #nextFill = 0
  #filling: Promise<void> | null = null
  #reason: string | null = null
  #pause = 0
  #timer: NodeJS.Timeout | undefined

  constructor(row: PoolRow, supply: Supply, log: Log) {
    this.row = row
    this.#supply = supply
    this.#log = log.child({ pool: row.name })
  }

  get id(): string {
    return this.row.id
  }

  get size(): number {
    return this.#members.length
  }

  /** Members that can be taken. */
  get ready(): number {
    return this.#members.filter(({ held, snapshot }) => held.alive && this.#supply.usable(snapshot)).length
  }

  describe(): PoolDocument {
    const ages = this.#members.map(({ since }) => (performance.now() - since) / 1000)
    const { drained, refresh_seconds, size } = this.row
    return {
      id: this.row.id,
      name: this.row.name,
      snapshots: this.row.snapshots,
      image: this.row.image,
      size,
      ready: this.ready,
      filling: this.#filling !== null,
      drained,
      refresh_seconds,
      oldest_seconds: ages.length === 0 ? null : Math.max(...ages),
      newest_seconds: ages.length === 0 ? null : Math.min(...ages),
      hits: this.#hits,
      misses: this.#misses,
      take_ms: this.#latencies.summary,
      memory_bytes: this.#members.reduce((sum, { held }) => sum + held.memory, 0),
      reason: this.ready < size ? this.#reason : null,
      created_at: this.row.created_at,
    }
  }

  /** A member, of one snapshot after the other, the oldest first; null: there is none. Its place is filled again. */
  take(): Member | null {
    const order = this.row.snapshots.map((_, at, all) => all[(this.#nextTake + at) % all.length])
    this.#nextTake++
    for (const snapshot of order) {
      for (;;) {
        const at = this.#members.findIndex((one) => one.snapshot === snapshot)
        const [member] = at < 0 ? [] : this.#members.splice(at, 1)
        if (member === undefined) break
        if (!this.row.drained && member.held.alive && this.#supply.usable(member.snapshot)) {
          this.#hits++
          this.fill()
          return member
        }
        void this.#drop(member)
      }
    }
    this.#misses++
    this.fill()
    return null
  }

  /** @param ms milliseconds until the program of a member that was taken went on */
  took(ms: number): void {
    this.#latencies.add(ms)
  }

  /** Begins to fill it, when it is not full and nothing else fills it. */
  fill(): void {
    if (this.#filling !== null || this.#controller.signal.aborted) return
    clearTimeout(this.#timer)
    this.#filling = this.#fill()
      .catch((error: unknown) => this.#log.error('A pool could not be filled.', { error }))
      .finally(() => {
        this.#filling = null
        if (!this.#controller.signal.aborted)
          this.#timer = setTimeout(() => this.fill(), this.#wait()).unref()
      })
  }

  /** Resolves when it is full, or cannot be filled. */
  async filled(): Promise<void> {
    this.fill()
    await this.#filling
  }

  /** Every member is replaced by a new one, one after the other. */
  async refresh(): Promise<void> {
    for (const member of this.#members) member.since = -Infinity
    await this.#filling
    await this.filled()
  }

  /** Those beyond its size, of snapshots that are not its own, or all when it is drained, are ended. */
  async shrink(): Promise<void> {
    if (this.row.drained) await this.#filling
    const { size, drained, snapshots } = this.row
    const keep = (member: Member, at: number) => !drained && at < size && snapshots.includes(member.snapshot)
    const all = this.#members.splice(0)
    this.#members.push(...all.filter(keep))
    await Promise.all(all.filter((member, at) => !keep(member, at)).map((member) => this.#drop(member)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort()
    clearTimeout(this.#timer)
    await this.#filling
    await Promise.all(this.#members.splice(0).map((member) => this.#drop(member)))
  }

  async #fill(): Promise<void> {
    // Whoever asked for the first of them is on his way.
    await new Promise((resolve) => setImmediate(resolve))
    for (;;) {
      const { signal } = this.#controller
      if (this.row.drained || signal.aborted) return
      await this.#bury()
      const old = this.#members.find(
        ({ since }) => performance.now() - since > this.row.refresh_seconds * 1000,
      )
      if (this.#members.length >= this.row.size && old === undefined) return
      const snapshot = this.#choose(old)
      if (snapshot === null) {
        this.#reason = 'none of its snapshots is ready'
        return
      }
      await this.#supply.quiet()
      if (!(await this.#add(snapshot))) return
      const at = old === undefined ? -1 : this.#members.indexOf(old)
      if (at >= 0) await this.#drop(this.#members.splice(at, 1)[0] as Member)
    }
  }

  /** @returns whether it was added */
  async #add(snapshot: string): Promise<boolean> {
    const { signal } = this.#controller
    try {
      const made = await this.#supply.restore(snapshot, { signal, log: this.#log })
      const member = { ...made, since: performance.now() }
      if (signal.aborted || this.row.drained || !this.row.snapshots.includes(snapshot)) {
        await this.#drop(member)
        return !signal.aborted
      }
      this.#members.push(member)
      this.#reason = null
      this.#pause = 0
      return true
    } catch (error) {
      if (signal.aborted) return false
      const { message, code } = ThawError.from(error)
      this.#reason = message
      this.#pause = Math.min(LONGEST_PAUSE, this.#pause === 0 ? FIRST_PAUSE : 2 * this.#pause)
      this.#log.warn('A member of a pool could not be restored.', { snapshot, code, message })
      if (code !== 'DISK_FULL') this.#supply.failed(snapshot, message)
      return false
    }
  }

  /** The snapshot of the one that is replaced; else that of which there are fewest. */
  #choose(old: Member | undefined): string | null {
    if (old !== undefined && this.#supply.usable(old.snapshot)) return old.snapshot
    const usable = this.row.snapshots.filter((snapshot) => this.#supply.usable(snapshot))
    if (usable.length === 0) return null
    const count = (snapshot: string) => this.#members.filter((one) => one.snapshot === snapshot).length
    const least = Math.min(...usable.map(count))
    const among = usable.filter((snapshot) => count(snapshot) === least)
    return among[this.#nextFill++ % among.length] ?? null
  }

  /** Milliseconds until it has to be looked after again. */
  #wait(): number {
    if (this.#pause > 0) return this.#pause
    const due = this.#members.map(({ since }) => since + this.row.refresh_seconds * 1000 - performance.now())
    return Math.max(100, Math.min(LONGEST_PAUSE, ...due))
  }

  async #bury(): Promise<void> {
    for (const member of this.#members.filter(({ held }) => !held.alive)) {
      this.#members.splice(this.#members.indexOf(member), 1)
      await this.#drop(member)
    }
  }

  async #drop(member: Member): Promise<void> {
    await member.held[Symbol.asyncDispose]()
    member.lease[Symbol.dispose]()
  }
}
