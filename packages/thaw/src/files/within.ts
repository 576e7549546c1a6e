/** Paths below a directory that stands for `/`, when nobody else changes it meanwhile. */
import { lstatSync, readlinkSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { ThawError } from '../system/index.js'

/** As the kernel: a path that takes more turns is a loop. */
const MOST_LINKS = 40

/**
 * A name in an archive, as a clean path relative to its root; empty: the root itself.
 *
 * @throws ThawError IMAGE_REFUSED for an absolute one, or one with `..`
 */
export function cleanName(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0')) {
    throw new ThawError('IMAGE_REFUSED', `It holds the path ${JSON.stringify(name)}, which leads out of it.`)
  }
  return parts.join('/')
}

/**
 * Where a path below `root` really is: links in it are followed as they would be if `root` were `/`.
 *
 * @param path relative and clean
 * @param missing called for a directory on the way that does not exist; null: the path is then not there
 * @returns relative path without links, the last part left as it is; null when a directory on the way is missing
 * @throws ThawError IMAGE_REFUSED when a link leads out of `root`, or a file stands in the way
 */
export function resolveParent(
  root: string,
  path: string,
  missing: ((path: string) => void) | null,
): string | null {
  const parts = path.split('/')
  const last = parts.pop() as string
  const at: string[] = []
  let links = 0
  while (parts.length > 0) {
    const part = parts.shift() as string
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (at.length === 0) throw leadsOut(path)
      at.pop()
      continue
    }
    const here = [...at, part].join('/')
    const found = statOf(join(root, here))
    if (found === null) {
      if (missing === null) return null
      missing(here)
      at.push(part)
    } else if (found.isDirectory()) at.push(part)
    else if (found.isSymbolicLink()) {
      if (++links > MOST_LINKS)
        throw new ThawError('IMAGE_REFUSED', `The links in ${path} go round in circles.`)
      const target = readlinkSync(join(root, here))
      if (target.startsWith('/')) at.length = 0
      parts.unshift(...target.split('/'))
    } else throw new ThawError('IMAGE_REFUSED', `${path} lies below ${here}, which is no directory.`)
  }
  return [...at, last].join('/')
}

/**
 * A regular file below `root`, links followed.
 *
 * @throws ThawError IMAGE_REFUSED
 */
export function findFile(root: string, name: string): string | null {
  let path = cleanName(name)
  for (let links = 0; links <= MOST_LINKS; links++) {
    const real = resolveParent(root, path, null)
    const found = real === null ? null : statOf(join(root, real))
    if (real === null || found === null) return null
    if (found.isFile()) return join(root, real)
    if (!found.isSymbolicLink()) throw new ThawError('IMAGE_REFUSED', `${name} is no file.`)
    const target = readlinkSync(join(root, real))
    // Kept with its `..`: resolveParent tells whether they lead out.
    path = target.startsWith('/') ? target.slice(1) : join2(real, target)
  }
  throw new ThawError('IMAGE_REFUSED', `The links in ${name} go round in circles.`)
}

export function statOf(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null
}

function join2(from: string, target: string): string {
  const directory = from.split('/').slice(0, -1)
  return [...directory, target].join('/')
}

function leadsOut(path: string): ThawError {
  return new ThawError(
    'IMAGE_REFUSED',
    `It holds the path ${JSON.stringify(path)}, and links on its way lead out.`,
  )
}
