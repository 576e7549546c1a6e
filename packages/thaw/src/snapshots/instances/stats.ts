import { readFileSync, readdirSync } from 'node:fs'
import type { InstanceStats } from '@thaw/protocol'
import type { Cgroup } from '../../system/index.js'

/** Of what /proc counts: ticks a second. */
const TICKS = 100
const PAGE = 4096

/** What an instance uses: as its cgroup counts, else as the sum over its processes that live. */
export function measure(cgroup: Cgroup | null, pids: readonly number[]): InstanceStats {
  let ticks = 0
  let pages = 0
  let threads = 0
  let processes = 0
  for (const pid of pids) {
    try {
      const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const fields = text
        .slice(text.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number)
      ticks += (fields[11] ?? 0) + (fields[12] ?? 0) + (fields[13] ?? 0) + (fields[14] ?? 0)
      pages += fields[21] ?? 0
      threads += readdirSync(`/proc/${pid}/task`).length
      processes++
    } catch {
      // It has ended.
    }
  }
  const { memory = null, cpu = null } = cgroup?.use ?? {}
  return {
    cpu_seconds: cpu ?? ticks / TICKS,
    memory_bytes: memory ?? pages * PAGE,
    pids: processes,
    threads,
    source: memory !== null && cpu !== null ? 'cgroup' : 'proc',
  }
}
