/** Directories that live as long as a repair: copies, bundles. Not below the state, which a private copy of a project may not show. */
import { createHash } from 'node:crypto'
import { lstatSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { Paths } from '../system/index.js'

/** There is one daemon for each state: whatever bears its name is its own. */
function prefix({ state }: Paths): string {
  return `thaw-repair-${createHash('sha1').update(state).digest('hex').slice(0, 8)}-`
}

/** The caller removes it. */
export function makeTemporary(paths: Paths): string {
  return mkdtempSync(join(realpathSync(tmpdir()), prefix(paths)))
}

/** Removes what a daemon that was killed has left. */
export function sweepTemporary(paths: Paths): void {
  const directory = tmpdir()
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(prefix(paths))) continue
    const path = join(directory, name)
    // Whoever knows the state's path could have made one of that name.
    if (lstatSync(path, { throwIfNoEntry: false })?.uid === userInfo().uid) {
      rmSync(path, { recursive: true, force: true })
    }
  }
}
