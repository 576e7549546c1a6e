import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** What a directory takes of the disk. */
export function directoryBytes(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) bytes += directoryBytes(path)
    else bytes += (lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512
  }
  return bytes
}
