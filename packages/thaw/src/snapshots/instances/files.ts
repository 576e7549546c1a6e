/** Files of an instance, from outside: whatever the instance does with links meanwhile, nothing leads out of it. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { getSystemErrorName } from 'node:util'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openBelow, ThawError } from '../../system/index.js'

const { O_RDONLY, O_DIRECTORY } = constants
const O_PATH = 0o10000000

/**
 * @param pid a process of the instance
 * @param path absolute, as the instance sees it
 * @throws ThawError PATH_REFUSED
 */
export function readFileOf(pid: number, path: string): { content: Readable; size: number; mode: number } {
  const found = open(pid, path, O_PATH)
  try {
    const stat = fstatSync(found)
    if (!stat.isFile()) {
      throw refused(path, stat.isDirectory() ? 'is a directory' : 'is no file')
    }
    // The file that was looked at, whatever has its name by now.
    const fd = openSync(`/proc/self/fd/${found}`, O_RDONLY)
    return { content: createReadStream('', { fd }), size: stat.size, mode: stat.mode & 0o7777 }
  } catch (error) {
    throw asRefusal(path, error)
  } finally {
    closeSync(found)
  }
}

/**
 * Replaces a file in one step. Directories on the way are made; a link at the end is replaced, not followed.
 *
 * @throws ThawError PATH_REFUSED, DISK_FULL
 */
export async function writeFileOf(
  pid: number,
  path: string,
  content: AsyncIterable<Uint8Array>,
  mode: number,
): Promise<void> {
  const at = path.lastIndexOf('/')
  const name = path.slice(at + 1)
  if (name === '' || name === '.' || name === '..') throw refused(path, 'names no file')
  const directory = makeDirectories(pid, path.slice(0, at))
  const below = (file: string) => `/proc/self/fd/${directory}/${file}`
  const draft = below(`.thaw-${randomBytes(6).toString('hex')}`)
  try {
    await pipeline(content, createWriteStream(draft, { flags: 'wx', mode }))
    renameSync(draft, below(name))
  } catch (error) {
    rmSync(draft, { force: true })
    throw asRefusal(path, error)
  } finally {
    closeSync(directory)
  }
}

/** The descriptor of a directory of an instance, which is made where it is missing; the caller closes it. */
function makeDirectories(pid: number, path: string): number {
  const parts = path.split('/').filter((part) => part !== '')
  let directory = open(pid, '/', O_PATH | O_DIRECTORY)
  for (const [index, part] of parts.entries()) {
    const below = `/${parts.slice(0, index + 1).join('/')}`
    let next
    try {
      next = tryOpen(pid, below, O_PATH | O_DIRECTORY)
      if (next === null) {
        mkdirSync(`/proc/self/fd/${directory}/${part}`, { mode: 0o755 })
        next = open(pid, below, O_PATH | O_DIRECTORY)
      }
    } catch (error) {
      throw asRefusal(path, error)
    } finally {
      closeSync(directory)
    }
    directory = next
  }
  return directory
}

function open(pid: number, path: string, flags: number): number {
  const found = tryOpen(pid, path, flags)
  if (found === null) throw refused(path, 'does not exist')
  return found
}

function tryOpen(pid: number, path: string, flags: number): number | null {
  let root
  try {
    root = openSync(`/proc/${pid}/root`, O_RDONLY | O_DIRECTORY)
  } catch (error) {
    throw new ThawError('WRONG_STATE', 'The instance has ended.', { cause: error })
  }
  try {
    const { fd, errno } = openBelow(root, path, flags)
    if (fd >= 0) return fd
    const name = getSystemErrorName(-errno)
    if (name === 'ENOENT') return null
    throw refused(path, `cannot be opened (${name})`)
  } finally {
    closeSync(root)
  }
}

function refused(path: string, why: string): ThawError {
  return new ThawError('PATH_REFUSED', `${path} ${why}.`)
}

function asRefusal(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof ThawError || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ThawError('DISK_FULL', `${path} could not be written: the disk is full.`, { cause: error })
  }
  return new ThawError('PATH_REFUSED', `${path} cannot be used (${code}).`, { cause: error })
}
