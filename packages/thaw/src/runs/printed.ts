/** All that a branch printed: its own record, behind those of the branches it goes on from. */
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Journal } from '../store/index.js'
import type { Offsets } from './lineage.js'
import { readRecord, type StreamName } from './record.js'

const CHUNK = 64 * 1024
const WHOLE: Offsets = { stdout: Infinity, stderr: Infinity, order: Infinity }

interface Part {
  directory: string
  until: Offsets
}

/** The records of a branch's lineage, as far as they were kept, the oldest first. */
function partsOf(journal: Journal, runs: string, branch: string, until: Offsets): Part[] {
  const parts: Part[] = []
  for (let id: string | undefined = branch, end = until; id !== undefined;) {
    const row = journal.getBranch(id)
    if (row === undefined) break
    parts.unshift({ directory: join(runs, row.run, id), until: end })
    const parent: ReturnType<Journal['getCheckpoint']> =
      row.from === null ? undefined : journal.getCheckpoint(row.from)
    end = (parent?.data as { offsets?: Offsets } | null)?.offsets ?? { stdout: 0, stderr: 0, order: 0 }
    id = parent?.branch
  }
  return parts
}

/** One stream, also of a branch whose daemon was killed before the order of its streams was on disk. */
export async function* printedOn(
  journal: Journal,
  runs: string,
  branch: string,
  stream: StreamName,
): AsyncIterable<Uint8Array> {
  for (const { directory, until } of partsOf(journal, runs, branch, WHOLE)) {
    let fd
    try {
      fd = openSync(join(directory, stream), 'r')
    } catch {
      // Removed by gc: the rest is still worth having.
      continue
    }
    try {
      for (let left = until[stream]; left > 0;) {
        const buffer = Buffer.allocUnsafe(Math.min(CHUNK, left))
        const size = readSync(fd, buffer)
        if (size === 0) break
        left -= size
        yield buffer.subarray(0, size)
        await Promise.resolve()
      }
    } finally {
      closeSync(fd)
    }
  }
}

/** Both streams in their order, up to a point of the branch's own record. */
export function* printedBy(
  journal: Journal,
  runs: string,
  branch: string,
  until: Offsets = WHOLE,
): Generator<[StreamName, Buffer]> {
  for (const part of partsOf(journal, runs, branch, until)) {
    try {
      yield* readRecord(part.directory, part.until)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}
