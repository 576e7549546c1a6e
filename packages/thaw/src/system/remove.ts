import { chmodSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Removes a directory, also where directories in it are closed to their own owner, as those of other people's images
 * may be, and what an overlay leaves without root. One that is gone is no error.
 */
export function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    openDirectories(path)
    rmSync(path, { recursive: true, force: true })
  }
}

function openDirectories(path: string): void {
  chmodSync(path, 0o700)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) openDirectories(join(path, entry.name))
  }
}
