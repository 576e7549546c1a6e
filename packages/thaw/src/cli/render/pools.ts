import type { Pool } from '@thaw/protocol'
import { fields, some, table } from './table.js'
import { bytes, seconds } from './units.js'

export function renderPools(pools: readonly Pool[]): string {
  if (pools.length === 0) return 'No pools. `thaw pool create SNAPSHOT --size 5` makes one.\n'
  return table(
    ['POOL', 'IMAGE', 'READY', 'HITS', 'MISSES', 'TAKE', 'MEMORY', 'REASON'],
    pools.map((one) => [
      one.name,
      one.image,
      one.drained ? 'drained' : `${one.ready} of ${one.size}`,
      String(one.hits),
      String(one.misses),
      one.take_ms === null ? '' : `${one.take_ms.p50.toFixed(1)} ms`,
      one.memory_bytes === 0 ? '' : bytes(one.memory_bytes),
      one.reason ?? '',
    ]),
  )
}

export function renderPool(one: Pool): string {
  const { take_ms: take, oldest_seconds, newest_seconds } = one
  const ages =
    oldest_seconds === null ? null : `${seconds(newest_seconds ?? 0)} to ${seconds(oldest_seconds)}`
  return fields([
    ['pool', one.name],
    ['id', one.id],
    ['image', one.image],
    ['snapshots', one.snapshots.join(' ')],
    [
      'ready',
      `${one.ready} of ${one.size}${one.drained ? ', drained' : one.filling ? ', being filled' : ''}`,
    ],
    ...some('reason', one.reason),
    ...some('age', ages),
    ['refreshed', `after ${seconds(one.refresh_seconds)}`],
    ['takes', `${one.hits} hits, ${one.misses} misses`],
    ...some(
      'take',
      take === null
        ? null
        : `p50 ${take.p50.toFixed(1)} ms, p95 ${take.p95.toFixed(1)} ms, p99 ${take.p99.toFixed(1)} ms`,
    ),
    ['memory', bytes(one.memory_bytes)],
    ['made', one.created_at],
  ])
}
