/** One snapshot: what is known of it, and what was said of it lately. */
import type { BuildStep, Snapshot, SnapshotLine } from '@thaw/protocol'
import type { SnapshotRow } from '../../store/index.js'
import { advance, type Health, type HealthEvent } from './health.js'

/** Lines that are kept, of this daemon's life. */
const LINES = 500

export class OneSnapshot {
  row: SnapshotRow
  /** Resolves when the build that is under way has ended, however. */
  building: Promise<void> | null = null
  readonly #lines: SnapshotLine[] = []
  /** Of lines that are not kept any more. */
  #dropped = 0
  readonly #waiting = new Set<() => void>()

  constructor(row: SnapshotRow) {
    this.row = row
  }

  get id(): string {
    return this.row.snapshot.id
  }

  get state(): Snapshot['state'] {
    return this.row.snapshot.state
  }

  /** @param root directory of all snapshots */
  describe(root: string): Snapshot {
    const { snapshot, directory, rebuild_at } = this.row
    return {
      ...snapshot,
      rebuild_at: rebuild_at === null ? null : new Date(rebuild_at).toISOString(),
      path: directory === null ? null : `${root}/${directory}`,
    }
  }

  advance(event: HealthEvent, now = Date.now()): void {
    const { snapshot, rebuilds, last_rebuild, rebuild_at, directory } = this.row
    const { state, reason, success_count, failure_count, consecutive_failures } = snapshot
    const health: Health = {
      state,
      reason,
      built: directory !== null,
      success_count,
      failure_count,
      consecutive_failures,
      rebuilds,
      last_rebuild,
      rebuild_at,
    }
    const next = advance(health, event, now)
    this.row.rebuilds = next.rebuilds
    this.row.last_rebuild = next.last_rebuild
    this.row.rebuild_at = next.rebuild_at
    Object.assign(snapshot, {
      state: next.state,
      reason: next.reason,
      success_count: next.success_count,
      failure_count: next.failure_count,
      consecutive_failures: next.consecutive_failures,
    })
    this.#wake()
  }

  set step(step: BuildStep | null) {
    this.row.snapshot.step = step
  }

  say(text: string): void {
    this.#lines.push({ time: new Date().toISOString(), text })
    if (this.#lines.length > LINES) {
      this.#lines.shift()
      this.#dropped++
    }
    this.#wake()
  }

  /** Oldest first. @param follow go on while it is being built */
  async *lines(follow: boolean, signal?: AbortSignal): AsyncGenerator<SnapshotLine> {
    for (let at = this.#dropped; ;) {
      at = Math.max(at, this.#dropped)
      const line = this.#lines[at - this.#dropped]
      if (line !== undefined) {
        at++
        yield line
      } else if (!follow || this.building === null || signal?.aborted === true) return
      else await this.changed(signal)
    }
  }

  /** Resolves at the next line or change of state, or when the signal is aborted. */
  changed(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      this.#waiting.add(done)
      signal?.addEventListener('abort', done, { once: true })
    })
  }

  /** The build has ended. */
  settled(): void {
    this.building = null
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
  }
}
