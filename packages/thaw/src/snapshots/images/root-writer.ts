/** Fills a directory with what archives hold: layer by layer, and never anything outside of it. */
import { createWriteStream } from 'node:fs'
import {
  chmodSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ThawError } from '../../system/index.js'
import { cleanName, resolveParent, statOf } from '../../files/within.js'

/** What a root file system may come to. */
export interface Budget {
  bytes: number
  entries: number
}

export const LARGEST: Budget = { bytes: 64e9, entries: 2_000_000 }

export interface Entry {
  name: string
  type: 'file' | 'directory' | 'symlink' | 'link' | 'fifo' | 'device' | 'socket'
  /** Permission bits, set-uid and the like included. */
  mode: number
  uid: number
  gid: number
  mtime: Date
  /** What a link points to. */
  target: string
  size: number
  /** What cannot be taken over: names of extended attributes. */
  extras: readonly string[]
}

/** Things left out are told one by one up to so many. */
const TOLD = 20
const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'
const SET_IDS = 0o6000

export class RootWriter {
  readonly root: string
  readonly leftOut: string[] = []
  readonly used: Budget = { bytes: 0, entries: 0 }
  readonly #owners: boolean
  readonly #most: Budget
  /** Of directories, put in place at the end: a directory may be closed to its own owner. */
  readonly #directories = new Map<string, { mode: number; mtime: Date }>()
  /** What the layer that is under way holds, and the directories above. */
  #layer = new Set<string>()
  #left = 0

  /**
   * @param root an empty directory of this writer's own
   * @param owners whether files are to belong to whom the archive says; without, nothing keeps set-uid bits either
   */
  constructor(root: string, owners: boolean, most: Budget = LARGEST) {
    this.root = root
    this.#owners = owners
    this.#most = most
  }

  /** What comes from now on lies over what was there before. */
  beginLayer(): void {
    this.#layer = new Set()
  }

  /**
   * @param content read for files only
   * @param layered whether names that begin with `.wh.` take away what lies below
   * @throws ThawError IMAGE_REFUSED, DISK_FULL
   */
  async put(entry: Entry, content: AsyncIterable<Uint8Array>, layered: boolean): Promise<void> {
    this.used.entries++
    this.count(0)
    const name = cleanName(entry.name)
    if (name === '') {
      if (entry.type === 'directory')
        this.#directories.set('', { mode: entry.mode & 0o1777, mtime: entry.mtime })
      return
    }
    try {
      if (layered && basename(name).startsWith(WHITEOUT)) {
        return this.#whiteOut(name)
      }
      const path = resolveParent(this.root, name, (missing) => this.#makeDirectory(missing)) as string
      await this.#make(path, entry, content)
    } catch (error) {
      throw asThawError(error, entry.name)
    }
  }

  /** Counts bytes that were unpacked. @throws ThawError IMAGE_REFUSED when they are too many */
  count(bytes: number): void {
    this.used.bytes += bytes
    if (this.used.bytes <= this.#most.bytes && this.used.entries <= this.#most.entries) return
    throw new ThawError(
      'IMAGE_REFUSED',
      `It holds more than ${this.#most.bytes / 1e9} GB or ${this.#most.entries} files.`,
    )
  }

  /** The last step: modes and times of directories. */
  finish(): void {
    for (const [path, { mode, mtime }] of deepestFirst(this.#directories)) {
      const full = join(this.root, path)
      if (statOf(full)?.isDirectory() !== true) continue
      chmodSync(full, mode)
      lutimesSync(full, mtime, mtime)
    }
    if (this.#left > TOLD) this.leftOut.push(`and ${this.#left - TOLD} more`)
  }

  async #make(path: string, entry: Entry, content: AsyncIterable<Uint8Array>): Promise<void> {
    const full = join(this.root, path)
    const mode = this.#owners ? entry.mode & 0o7777 : entry.mode & 0o7777 & ~SET_IDS
    if (entry.type === 'fifo' || entry.type === 'device' || entry.type === 'socket') {
      return this.#leaveOut(`${path} (a ${entry.type})`)
    }
    for (const extra of entry.extras) this.#leaveOut(`${extra} of ${path}`)
    const there = statOf(full)
    if (entry.type === 'link') {
      const from = this.#linkTarget(entry)
      if (from === full) return this.#mark(path)
      this.#clear(path)
      linkSync(from, full)
      return this.#mark(path)
    }
    if (!(there?.isDirectory() === true && entry.type === 'directory')) this.#clear(path)
    switch (entry.type) {
      case 'directory':
        if (there?.isDirectory() !== true) mkdirSync(full, { mode: 0o700 })
        this.#directories.set(path, { mode, mtime: entry.mtime })
        break
      case 'symlink':
        symlinkSync(entry.target, full)
        break
      case 'file':
        // Nothing is there any more, so `wx` cannot follow a link.
        await pipeline(content, createWriteStream(full, { flags: 'wx', mode: 0o600 }))
    }
    if (this.#owners) lchownSync(full, entry.uid, entry.gid)
    // After chown, which clears set-uid bits.
    if (entry.type === 'file') chmodSync(full, mode)
    if (entry.type !== 'directory') lutimesSync(full, entry.mtime, entry.mtime)
    this.#mark(path)
  }

  #linkTarget(entry: Entry): string {
    const path = resolveParent(this.root, cleanName(entry.target), null)
    const full = path === null ? null : join(this.root, path)
    const found = full === null ? null : statOf(full)
    if (full !== null && (found?.isFile() === true || found?.isSymbolicLink() === true)) return full
    throw new ThawError(
      'IMAGE_REFUSED',
      `${entry.name} is a hard link to ${entry.target}, which is no file in it.`,
    )
  }

  #makeDirectory(path: string): void {
    mkdirSync(join(this.root, path))
    // Whatever the umask of the daemon.
    chmodSync(join(this.root, path), 0o755)
    this.#mark(path)
  }

  /** Whatever stands there goes, with all below it. */
  #clear(path: string): void {
    rmSync(join(this.root, path), { recursive: true, force: true })
    this.#directories.delete(path)
  }

  #whiteOut(name: string): void {
    const file = basename(name)
    const opaque = file === OPAQUE
    if (file.startsWith('.wh..wh.') && !opaque) return
    const path = resolveParent(this.root, name, null)
    if (path === null) return
    const directory = dirname(path) === '.' ? '' : dirname(path)
    if (!opaque) {
      const hidden = cleanName(file.slice(WHITEOUT.length))
      if (hidden === '') throw new ThawError('IMAGE_REFUSED', `${name} takes nothing away.`)
      return this.#removeBelow(join(directory, hidden))
    }
    if (directory === '' || statOf(join(this.root, directory))?.isDirectory() === true)
      this.#emptyBelow(directory)
  }

  /** Takes away what came with earlier layers. */
  #removeBelow(path: string): void {
    if (!this.#layer.has(path)) this.#clear(path)
    else if (statOf(join(this.root, path))?.isDirectory() === true) this.#emptyBelow(path)
  }

  #emptyBelow(directory: string): void {
    for (const child of readdirSync(join(this.root, directory))) this.#removeBelow(join(directory, child))
  }

  #mark(path: string): void {
    for (let at = path; at !== '.' && !this.#layer.has(at); at = dirname(at)) this.#layer.add(at)
  }

  #leaveOut(what: string): void {
    if (++this.#left <= TOLD) this.leftOut.push(what)
  }
}

/** So that a directory that is closed to its owner is closed when nothing in it is to be changed any more. */
function deepestFirst<T>(directories: Map<string, T>): [string, T][] {
  return [...directories].sort(([a], [b]) => b.length - a.length)
}

function asThawError(error: unknown, name: string): unknown {
  if (error instanceof ThawError) return error
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ThawError('DISK_FULL', 'The disk is full; nothing of the image is kept.', { cause: error })
  }
  if (code === undefined || !/^E[A-Z]+$/.test(code)) return error
  return new ThawError('IMAGE_REFUSED', `${JSON.stringify(name)} cannot be unpacked (${code}).`, {
    cause: error,
  })
}
