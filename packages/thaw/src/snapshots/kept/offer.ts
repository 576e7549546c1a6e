/** Which of several snapshots serves now, or why none does. */
import { within, type FallbackReason, type Scope } from '../../system/index.js'
import type { OneSnapshot } from './one.js'

export type Offered = { id: string } | { why: FallbackReason; reason: string }

/**
 * The newest that is ready, waiting for one that is being made.
 *
 * @param list those that would do, oldest first; asked again after each wait
 * @param none why there is none, in words
 * @param wait milliseconds
 * @throws ThawError TIMEOUT, CANCELLED of the scope
 */
export async function choose(
  list: () => readonly OneSnapshot[],
  none: string,
  wait: number,
  scope: Scope,
): Promise<Offered> {
  const deadline = performance.now() + wait
  for (;;) {
    const all = list()
    const ready = all.findLast(({ state }) => state === 'ready')
    if (ready !== undefined) return { id: ready.id }
    const creating = all.findLast(({ state }) => state === 'creating')
    if (creating === undefined) {
      const unhealthy = all.at(-1)
      if (unhealthy === undefined) return { why: 'none', reason: none }
      const reason = `snapshot ${unhealthy.id} is unhealthy (${unhealthy.row.snapshot.reason ?? ''})`
      return { why: 'unhealthy', reason }
    }
    const left = deadline - performance.now()
    if (left <= 0) {
      return { why: 'creating', reason: `snapshot ${creating.id} is still creating after ${wait / 1000} s` }
    }
    const timer = new AbortController()
    const late = setTimeout(() => timer.abort(), left)
    try {
      await within(scope, 'waiting for a snapshot', creating.changed(timer.signal))
    } finally {
      clearTimeout(late)
    }
  }
}
