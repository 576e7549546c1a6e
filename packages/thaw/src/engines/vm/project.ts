/** A project's files in a machine: carried in, kept up to date with the user's edits, and what was changed there carried back. */
import {
  accessSync,
  chmodSync,
  constants,
  createWriteStream,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  type BigIntStats,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { diskState } from '../../files/signature.js'
import { setTimes, ThawError, type Scope } from '../../system/index.js'
import type { Guest } from './guest/guest.js'
import { listTree, makeTree, readTree, writeTree, type TreeEntry } from './guest/tree.js'

/** What is carried at most. */
const MOST = { bytes: 4 * 1024 ** 3, entries: 200_000 }
const SET_IDS = 0o6000

/** A path when it was the same here and in the machine: how it looked here, and there. */
export const Known = z.record(z.string(), z.tuple([z.string(), z.string()]))
export type Known = z.infer<typeof Known>

/** What came of carrying back. */
export interface Brought {
  /** Paths that were written or removed here, and how they look now. */
  written: Map<string, string | null>
  /** Paths that the user has changed meanwhile, and that stay so. */
  stayed: string[]
}

/** Whether a path here still looks as a program of the run left it. */
export type IsLeft = (path: string) => boolean

export class MachineProject {
  readonly directory: string
  readonly #known: Map<string, [here: string, there: string]>
  /** What is no file, directory or link, cannot be read, or has a name that is no text. */
  readonly leftOut: string[] = []

  /** @param known of the moment of a copy; empty: nothing is there yet */
  constructor(directory: string, known: Known = {}) {
    this.directory = directory
    this.#known = new Map(Object.entries(known))
  }

  get known(): Known {
    return Object.fromEntries(this.#known)
  }

  /**
   * What the user has changed since it was the same here and there is put in place there; the first time, all of it.
   *
   * @param isLeft those paths are not the user's: they were written by a program of another branch
   * @returns paths that were put in place or taken away
   * @throws ThawError UNSUPPORTED where it is too large, DISK_FULL; GuestRefused
   */
  async carryIn(guest: Guest, isLeft: IsLeft, scope: Scope): Promise<string[]> {
    if (this.#known.size === 0) await makeTree(guest, this.directory, scope)
    const entries: TreeEntry[] = []
    const states = new Map<string, string>()
    const seen = this.#look()
    for (const [path, entry] of seen) {
      const here = stateHere(join(this.directory, path))
      const known = this.#known.get(path)
      if (here === null || known?.[0] === here) continue
      if (this.#known.size > 0 && isLeft(join(this.directory, path))) continue
      states.set(path, here)
      entries.push(entry)
    }
    const gone = [...this.#known.keys()].filter(
      (path) => !seen.has(path) && !isLeft(join(this.directory, path)),
    )
    for (const path of gone) {
      this.#known.delete(path)
      entries.push({ ...nothing(path), type: '-' })
    }
    // Directories get their modes and times when nothing in them is to be changed any more.
    const order = (entry: TreeEntry) => (entry.type === '-' ? -1 : entry.type === 'd' ? 1 : 0)
    entries.sort((a, b) => order(a) - order(b) || b.path.length - a.path.length)
    await writeTree(guest, this.directory, this.directory, entries, scope)
    if (states.size > 0) {
      for (const entry of await listTree(guest, this.directory, scope)) {
        const here = states.get(entry.path)
        if (here !== undefined) this.#known.set(entry.path, [here, stateThere(entry)])
      }
    }
    return [...states.keys(), ...gone]
  }

  /**
   * What was changed there since it was the same is put in place here. The user's own changes stay.
   *
   * @throws ThawError DISK_FULL, ENGINE_FAILED; GuestRefused
   */
  async carryBack(guest: Guest, isLeft: IsLeft, scope: Scope): Promise<Brought> {
    const written: Brought['written'] = new Map()
    const stayed: string[] = []
    const now = new Map((await listTree(guest, this.directory, scope)).map((entry) => [entry.path, entry]))
    const mine = (path: string) => {
      const full = join(this.directory, path)
      const here = stateHere(full)
      if (here === (this.#known.get(path)?.[0] ?? null) || isLeft(full)) return true
      stayed.push(path)
      return false
    }
    const changed = [...now.values()].filter(
      (entry) => this.#known.get(entry.path)?.[1] !== stateThere(entry),
    )
    const gone = [...this.#known.keys()].filter((path) => !now.has(path)).sort((a, b) => b.length - a.length)
    for (const path of gone) {
      if (mine(path) && this.#take(path)) written.set(join(this.directory, path), null)
      this.#known.delete(path)
    }
    const wanted = changed.map(({ path }) => path)
    if (wanted.length > 0) {
      await readTree(guest, this.directory, wanted, scope, async (entry, content) => {
        const { path } = entry
        const full = join(this.directory, path)
        if (mine(path) && (await this.#put(entry, content))) written.set(full, diskState(full))
        else if (!stayed.includes(path)) stayed.push(path)
        const here = stateHere(full)
        if (here !== null) this.#known.set(path, [here, stateThere(entry)])
      })
    }
    return { written, stayed }
  }

  #look(): Map<string, TreeEntry> {
    const found = new Map<string, TreeEntry>()
    let bytes = 0
    const queue = ['']
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      for (const name of namesIn(join(this.directory, at))) {
        const path = at === '' ? name : `${at}/${name}`
        const full = join(this.directory, path)
        const stat = lstatSync(full, { bigint: true, throwIfNoEntry: false })
        const entry = stat === undefined ? null : entryOf(path, full, stat)
        if (entry === null) {
          this.leftOut.push(path)
          continue
        }
        found.set(path, entry)
        bytes += entry.size
        if (entry.type === 'd') queue.push(path)
        if (found.size > MOST.entries || bytes > MOST.bytes) throw tooLarge(this.directory)
      }
    }
    return found
  }

  /** Whether it went. */
  #take(path: string): boolean {
    const full = join(this.directory, path)
    if (!this.#isOpen(path)) return false
    try {
      if (lstatSync(full).isDirectory()) rmdirSync(full)
      else rmSync(full, { force: true })
      return true
    } catch {
      // Something of the user's is in it.
      return false
    }
  }

  /** Whether it is there now; false: a link stands on its way, or something of the user's in its place. */
  async #put(
    { type, path, mode, mtime, target }: TreeEntry,
    content: AsyncIterable<Buffer>,
  ): Promise<boolean> {
    const full = join(this.directory, path)
    if (!this.#isOpen(path)) return false
    const there = lstatSync(full, { throwIfNoEntry: false })
    try {
      if (type === 'd') {
        if (there?.isDirectory() !== true) {
          rmSync(full, { force: true })
          mkdirSync(full)
        }
        chmodSync(full, mode & ~SET_IDS)
        return true
      }
      if (there?.isDirectory() === true) rmdirSync(full)
      const draft = join(dirname(full), `.thaw-${randomBytes(6).toString('hex')}`)
      try {
        if (type === 'l') symlinkSync(target, draft)
        else {
          await pipeline(content, createWriteStream(draft, { flags: 'wx', mode: 0o600 }))
          chmodSync(draft, mode & ~SET_IDS)
          setTimes(draft, mtime, mtime)
        }
        renameSync(draft, full)
      } finally {
        rmSync(draft, { force: true })
      }
      return true
    } catch (error) {
      throw asThawError(error, full)
    }
  }

  /** Whether directories alone lead to it, which are made where they are missing: what comes from a machine follows no links. */
  #isOpen(path: string): boolean {
    let at = this.directory
    for (const part of path.split('/').slice(0, -1)) {
      at = join(at, part)
      const found = lstatSync(at, { throwIfNoEntry: false })
      if (found === undefined) mkdirSync(at)
      else if (!found.isDirectory()) return false
    }
    return true
  }
}

function entryOf(path: string, full: string, stat: BigIntStats): TreeEntry | null {
  const type = stat.isFile() ? 'f' : stat.isDirectory() ? 'd' : stat.isSymbolicLink() ? 'l' : null
  if (type === null || !isReadable(full, type)) return null
  return {
    type,
    mode: Number(stat.mode & 0o7777n),
    size: type === 'f' ? Number(stat.size) : 0,
    mtime: stat.mtimeNs,
    ctime: 0n,
    path,
    target: type === 'l' ? readlinkSync(full) : '',
  }
}

function namesIn(directory: string): string[] {
  return readdirSync(directory, { encoding: 'buffer' }).map((name) => name.toString('utf8'))
}

function isReadable(path: string, type: TreeEntry['type']): boolean {
  if (type === 'l') return true
  try {
    accessSync(path, type === 'd' ? constants.R_OK | constants.X_OK : constants.R_OK)
    return true
  } catch {
    return false
  }
}

/** Null: it is not there. A directory counts by its permissions. */
function stateHere(path: string): string | null {
  const state = diskState(path)
  return state === 'dir' ? `dir:${lstatSync(path).mode & 0o7777}` : state
}

function stateThere({ type, mode, size, mtime, ctime }: TreeEntry): string {
  return type === 'd' ? `d:${mode}` : [type, mode, size, mtime, ctime].join(':')
}

const nothing = (path: string) => ({ mode: 0, size: 0, mtime: 0n, ctime: 0n, path, target: '' })

function tooLarge(directory: string): ThawError {
  const { bytes, entries } = MOST
  return new ThawError(
    'UNSUPPORTED',
    `${directory} holds more than ${bytes / 1024 ** 3} GiB or ${entries} files, which are not carried into a machine.`,
    { hint: 'Start the command in a smaller directory, or use the process engine, which shows it as it is.' },
  )
}

function asThawError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof ThawError || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ThawError('DISK_FULL', `${path} could not be written: the disk is full.`, { cause: error })
  }
  return new ThawError('PATH_REFUSED', `${path} cannot be written (${code}).`, { cause: error })
}
