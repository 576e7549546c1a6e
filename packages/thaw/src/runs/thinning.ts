/** Which checkpoint to give up first. */
import { readFileSync } from 'node:fs'
import type { Checkpoint } from './lineage.js'

/** Bytes assumed for a checkpoint that has not been measured. */
const UNMEASURED = 16 * 1024 * 1024

/**
 * The checkpoint whose loss costs least: the work between it and the one before would be done again, which matters
 * more for the newest, where edits come most, and less where much memory is won. The last one is never chosen.
 */
export function leastUseful(parked: readonly Checkpoint[]): Checkpoint | null {
  const sorted = [...parked].sort((a, b) => a.work - b.work)
  let found: { checkpoint: Checkpoint; value: number } | null = null
  for (const [i, checkpoint] of sorted.slice(0, -1).entries()) {
    const gap = checkpoint.work - (sorted[i - 1]?.work ?? 0)
    const value = (gap * (1 + i / sorted.length)) / (checkpoint.memory ?? UNMEASURED)
    if (found === null || value < found.value) found = { checkpoint, value }
  }
  return found?.checkpoint ?? null
}

/** Memory that programs could still get, in bytes. */
export function availableMemory(): number {
  const match = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))
  return Number(match?.[1] ?? 0) * 1024
}
