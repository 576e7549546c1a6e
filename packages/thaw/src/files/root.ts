/** A root file system that is a directory, as the programs in it see it. */
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, readlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { checkScope, ThawError, type Scope } from '../system/index.js'
import { findFile, resolveParent } from './within.js'

/** Entries that are looked at to tell whether it has changed. */
const MOST = 200_000

/** What a path of the program's is on this machine. */
export class RootView {
  readonly #root: string
  readonly #project: string

  /** @param project directory of the machine that is seen in it, in the same place */
  constructor(root: string, project: string) {
    this.#root = root
    this.#project = project
  }

  /** Null where there is no such file. */
  real(path: string): string | null {
    if (isWithin(path, this.#project)) return existsSync(path) ? path : null
    try {
      return findFile(this.#root, path.replace(/^\/+/, ''))
    } catch {
      // A directory, or links that lead nowhere.
      return null
    }
  }
}

/** Links on the way would have the project stand elsewhere. @throws ThawError UNSUPPORTED */
export function checkPlace(root: string, project: string): void {
  const path = project.slice(1)
  let found: string | null = null
  try {
    found = resolveParent(root, path, () => {})
  } catch {
    // A file stands in its way.
  }
  const last = found === path ? lstatSync(join(root, path), { throwIfNoEntry: false }) : undefined
  if (found === path && last?.isDirectory() !== false) return
  throw new ThawError('UNSUPPORTED', `${project} cannot be shown in ${root}: something else stands there.`, {
    hint: 'Move the project to a path that the root file system does not have, or has as a directory.',
  })
}

/**
 * Digest of how everything in it looks: sizes, times, modes, targets of links.
 *
 * @throws ThawError UNSUPPORTED where it is too large
 */
export async function keyOf(root: string, scope: Scope): Promise<string> {
  const hash = createHash('sha256')
  let left = MOST
  const queue = ['']
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    checkScope(scope, 'looking at a root file system')
    for (const name of (await readdir(join(root, at))).sort()) {
      if (--left < 0) {
        throw new ThawError('UNSUPPORTED', `${root} holds more than ${MOST} files.`, {
          hint: 'Import it as an image (`thaw image import`), which nobody changes.',
        })
      }
      const path = `${at}/${name}`
      const { mode, size, mtimeNs } = lstatSync(join(root, path), { bigint: true })
      const kind = Number(mode) & 0o170000
      const target = kind === 0o120000 ? readlinkSync(join(root, path)) : ''
      hash.update([path, mode, size, mtimeNs, target].join('\0'))
      if (kind === 0o040000) queue.push(path)
    }
  }
  return hash.digest('hex')
}

export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`)
}
