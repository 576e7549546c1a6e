/** Which snapshots are given up, so that all of them together stay within their bounds. Pure. */

export interface Candidate {
  id: string
  /** Made by itself. */
  automatic: boolean
  bytes: number
  /** Milliseconds; of its last use, or of its making. */
  used: number
  /** Whether something else stands on it, or it is being made. */
  needed: boolean
}

export interface Bounds {
  count: number
  bytes: number
  /** Milliseconds without use after which one that was made by itself goes. */
  unused: number
}

/** What was made by itself goes first, and of that what was not used for the longest time. */
export function outdated(all: readonly Candidate[], bounds: Bounds, now: number): string[] {
  const order = all
    .filter(({ needed }) => !needed)
    .sort((a, b) => Number(b.automatic) - Number(a.automatic) || a.used - b.used)
  let count = all.length
  let bytes = all.reduce((sum, one) => sum + one.bytes, 0)
  const gone: string[] = []
  for (const one of order) {
    const old = one.automatic && now - one.used > bounds.unused
    if (!old && count <= bounds.count && bytes <= bounds.bytes) continue
    gone.push(one.id)
    count--
    bytes -= one.bytes
  }
  return gone
}
