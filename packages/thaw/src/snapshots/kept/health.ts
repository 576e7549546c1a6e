/** What becomes of a snapshot when restores of it succeed and fail. Pure: times are given, in milliseconds. */
import type { SnapshotState } from '@thaw/protocol'

export interface Health {
  readonly state: SnapshotState
  readonly reason: string | null
  /** Whether there is a build that could be restored. */
  readonly built: boolean
  readonly success_count: number
  readonly failure_count: number
  readonly consecutive_failures: number
  /** Rebuilds by itself since it was last well for long. */
  readonly rebuilds: number
  readonly last_rebuild: number | null
  /** When it is rebuilt by itself; null: not at all. */
  readonly rebuild_at: number | null
}

export type HealthEvent =
  | { what: 'built' }
  | { what: 'build failed'; reason: string }
  /** By itself, or because somebody asked: that one counts for nothing. */
  | { what: 'build begun'; asked: boolean }
  | { what: 'used' }
  | { what: 'failed'; reason: string }
  | { what: 'deleted' }

/** Consecutive failures after which it is not tried any more. */
export const STRIKES = 3
/** Rebuilds by itself before somebody has to ask. */
export const MOST_REBUILDS = 5
const BACK_OFF = 60_000
/** A rebuild that held for so long, with a use after it, is forgotten. */
export const SETTLED = 3_600_000

export const NEW: Health = {
  state: 'creating',
  reason: null,
  built: false,
  success_count: 0,
  failure_count: 0,
  consecutive_failures: 0,
  rebuilds: 0,
  last_rebuild: null,
  rebuild_at: null,
}

export function advance(health: Health, event: HealthEvent, now: number): Health {
  if (health.state === 'deleted') return health
  switch (event.what) {
    case 'built':
      return {
        ...health,
        state: 'ready',
        reason: null,
        built: true,
        consecutive_failures: 0,
        rebuild_at: null,
      }
    case 'build begun': {
      const counted = event.asked
        ? { rebuilds: 0, last_rebuild: null }
        : { rebuilds: health.rebuilds + 1, last_rebuild: now }
      // One that can be used goes on being used until the next is there.
      const state = health.state === 'ready' ? 'ready' : 'creating'
      return { ...health, ...counted, state, rebuild_at: null }
    }
    case 'build failed':
      if (health.state === 'ready') return health
      return broken(health, event.reason, now)
    case 'used': {
      const settled = health.last_rebuild !== null && now - health.last_rebuild >= SETTLED
      return {
        ...health,
        success_count: health.success_count + 1,
        consecutive_failures: 0,
        ...(settled ? { rebuilds: 0, last_rebuild: null } : {}),
      }
    }
    case 'failed': {
      const failed = {
        ...health,
        failure_count: health.failure_count + 1,
        consecutive_failures: health.consecutive_failures + 1,
      }
      if (failed.state !== 'ready' || failed.consecutive_failures < STRIKES) return failed
      return broken(failed, event.reason, now)
    }
    case 'deleted':
      return { ...health, state: 'deleted', rebuild_at: null }
  }
}

function broken(health: Health, reason: string, now: number): Health {
  return { ...health, state: 'unhealthy', reason, rebuild_at: nextRebuild(health, now) }
}

/** At once the first time, then after pauses that double; null after the last. */
export function nextRebuild({ rebuilds, last_rebuild }: Health, now: number): number | null {
  if (rebuilds === 0 || last_rebuild === null) return now
  if (rebuilds >= MOST_REBUILDS) return null
  return Math.max(now, last_rebuild + BACK_OFF * 2 ** (rebuilds - 1))
}
