/** Files of an instance, from outside: whatever the instance does with links meanwhile, nothing leads out of it. */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { getSystemErrorName } from 'node:util'
import { openBelow, ThawError } from '../../system/index.js'

const { O_RDONLY, O_DIRECTORY } = constants
const O_PATH = 0o10000000
/** Of /etc/passwd, for one. Bytes. */
const LONGEST_TEXT = 4_000_000

/** The files that are an instance's own. */
export interface Place {
  /** A process of it. */
  pid: number
  /** Directories that are its own; null: all that it sees. */
  own: readonly string[] | null
}

/**
 * @param path absolute, as the instance sees it
 * @throws ThawError PATH_REFUSED
 */
export function readFileOf(place: Place, path: string): { content: Readable; size: number; mode: number } {
  const found = open(place, path, O_PATH)
  try {
    const stat = fstatSync(found)
    if (!stat.isFile()) throw refused(path, stat.isDirectory() ? 'is a directory' : 'is no file')
    // The file that was looked at, whatever has its name by now.
    const fd = openSync(`/proc/self/fd/${found}`, O_RDONLY)
    return { content: createReadStream('', { fd }), size: stat.size, mode: stat.mode & 0o7777 }
  } catch (error) {
    throw asRefusal(path, error)
  } finally {
    closeSync(found)
  }
}

/** A short text; empty where there is none. */
export function readTextOf(place: Place, path: string): string {
  let fd
  try {
    fd = open(place, path, O_PATH)
  } catch {
    return ''
  }
  try {
    const stat = fstatSync(fd)
    return stat.isFile() && stat.size <= LONGEST_TEXT ? readFileSync(`/proc/self/fd/${fd}`, 'utf8') : ''
  } finally {
    closeSync(fd)
  }
}

/**
 * Replaces a file in one step. Directories on the way are made; a link at the end is replaced, not followed.
 *
 * @throws ThawError PATH_REFUSED, DISK_FULL
 */
export async function writeFileOf(
  place: Place,
  path: string,
  content: AsyncIterable<Uint8Array>,
  mode: number,
): Promise<void> {
  const at = path.lastIndexOf('/')
  const name = path.slice(at + 1)
  if (name === '' || name === '.' || name === '..') throw refused(path, 'names no file')
  const directory = makeDirectories(place, path.slice(0, at))
  const below = (file: string) => `/proc/self/fd/${directory}/${file}`
  const draft = below(`.thaw-${randomBytes(6).toString('hex')}`)
  try {
    await pipeline(content, createWriteStream(draft, { flags: 'wx', mode: 0o600 }))
    chmodSync(draft, mode)
    renameSync(draft, below(name))
  } catch (error) {
    rmSync(draft, { force: true })
    throw asRefusal(path, error)
  } finally {
    closeSync(directory)
  }
}

/** The descriptor of a directory, which is made where it is missing; the caller closes it. */
function makeDirectories(place: Place, path: string): number {
  const found = tryOpen(place, path, O_PATH | O_DIRECTORY)
  if (found !== null) return found
  const at = path.lastIndexOf('/')
  const parent = makeDirectories(place, path.slice(0, at))
  try {
    const made = `/proc/self/fd/${parent}/${path.slice(at + 1)}`
    mkdirSync(made)
    // Whatever the umask of the daemon.
    chmodSync(made, 0o755)
  } catch (error) {
    throw asRefusal(path, error)
  } finally {
    closeSync(parent)
  }
  return open(place, path, O_PATH | O_DIRECTORY)
}

function open(place: Place, path: string, flags: number): number {
  const found = tryOpen(place, path, flags)
  if (found === null) throw refused(path, 'does not exist')
  return found
}

/** Null: it does not exist. */
function tryOpen({ pid, own }: Place, path: string, flags: number): number | null {
  const base = own === null ? '' : own.find((one) => path === one || path.startsWith(`${one}/`))
  if (base === undefined) {
    throw refused(path, `is not the instance’s own: only what lies in ${(own ?? []).join(', ')} is`)
  }
  let root
  try {
    root = openSync(`/proc/${pid}/root${base}`, O_RDONLY | O_DIRECTORY)
  } catch (error) {
    throw new ThawError('WRONG_STATE', 'The instance has ended.', { cause: error })
  }
  try {
    const below = path.slice(base.length).replace(/^\/+/, '')
    const { fd, errno } = openBelow(
      root,
      below === '' ? '.' : below,
      flags,
      own === null ? 'root' : 'beneath',
    )
    if (fd >= 0) return fd
    const name = getSystemErrorName(-errno)
    if (name === 'ENOENT') return null
    throw refused(path, name === 'EXDEV' ? 'leads out of the instance' : `cannot be opened (${name})`)
  } finally {
    closeSync(root)
  }
}

function refused(path: string, why: string): ThawError {
  return new ThawError('PATH_REFUSED', `${path === '' ? '/' : path} ${why}.`)
}

function asRefusal(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof ThawError || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ThawError('DISK_FULL', `${path} could not be written: the disk is full.`, { cause: error })
  }
  return new ThawError('PATH_REFUSED', `${path} cannot be used (${code}).`, { cause: error })
}
