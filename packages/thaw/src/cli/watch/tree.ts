import { ThawError } from '@thaw/protocol/errors'
import { lstatSync, readdirSync, watch, type FSWatcher } from 'node:fs'
import { dirname, join } from 'node:path'

export interface FileChange {
  path: string
  kind: 'created' | 'changed' | 'removed'
}

const SKIPPED = new Set(['node_modules', '__pycache__', 'site-packages'])
/** Files and directories looked at, at most: what is beyond is not watched. */
const LIMIT = 50_000
/** Milliseconds without a further event after which a burst is over, and the longest that one is waited for. */
const SILENCE = 40
const PATIENCE = 400

/** Milliseconds by which the times of files may lag behind the clock. */
const CLOCK_GRAIN = 5

/** What shows that a file was written or replaced; null: there is none. */
function signatureOf(path: string): string | null {
  try {
    const stat = lstatSync(path)
    // What changes in a directory is told by its entries.
    if (stat.isDirectory()) return 'directory'
    const { size, mtimeMs, ino } = stat
    return `${size}:${mtimeMs}:${ino}`
  } catch {
    return null
  }
}

/**
 * Files below some directories. Directories are watched, not files: a file that an editor replaces (a temporary one,
 * renamed) is then seen like one that it writes, and there are few watches. Several events close together are one burst.
 */
export class FileTree implements Disposable {
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #known = new Map<string, string>()
  readonly #dirty = new Set<string>()
  readonly #onBurst: () => void
  #timer: NodeJS.Timeout | null = null
  #since = 0
  #began = Infinity

  /** @param onBurst something may have changed: `take` tells what */
  constructor(onBurst: () => void) {
    this.#onBurst = onBurst
  }

  /** Files written from now on have changed, also when they are added only later. */
  begin(): void {
    this.#began = Date.now()
  }

  /** Everything below a directory but hidden ones, caches and installed packages. */
  addTree(root: string): void {
    const queue = [root]
    for (let directory = queue.pop(); directory !== undefined; directory = queue.pop()) {
      if (this.#known.size > LIMIT) return
      this.#watch(directory)
      for (const entry of list(directory)) {
        const path = join(directory, entry.name)
        if (!entry.isDirectory()) this.#remember(path)
        else if (!entry.name.startsWith('.') && !SKIPPED.has(entry.name)) queue.push(path)
      }
    }
  }

  /** One file, wherever it lies, or may come to lie. */
  addFile(path: string): void {
    if (this.#watchers.has(dirname(path))) return
    this.#watch(dirname(path))
    this.#remember(path)
  }

  /** What lies in one directory, and comes to lie there. */
  addDirectory(path: string): void {
    if (this.#watchers.has(path)) return
    this.#watch(path)
    for (const entry of list(path)) this.#remember(join(path, entry.name))
  }

  /** Has these looked at the next time, whether an event came or not. */
  suspect(paths: Iterable<string>): void {
    for (const path of paths) if (this.#watchers.has(dirname(path))) this.#dirty.add(path)
  }

  /** What has changed since the last time, and since it was added. */
  take(): FileChange[] {
    const changes: FileChange[] = []
    for (const path of this.#dirty) this.#compare(path, changes)
    this.#dirty.clear()
    return changes
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #compare(path: string, changes: FileChange[]): void {
    const before = this.#known.get(path)
    if (before === undefined && isDirectory(path)) {
      const name = path.slice(path.lastIndexOf('/') + 1)
      if (name.startsWith('.') || SKIPPED.has(name) || this.#watchers.has(path)) return
      const known = new Set(this.#known.keys())
      this.addTree(path)
      for (const file of this.#known.keys())
        if (!known.has(file)) changes.push({ path: file, kind: 'created' })
      return
    }
    const now = signatureOf(path)
    if (now === null) {
      this.#forget(path, changes)
    } else if (now !== before) {
      this.#known.set(path, now)
      changes.push({ path, kind: before === undefined ? 'created' : 'changed' })
    }
  }

  /** A file, or a directory with all there was in it. */
  #forget(path: string, changes: FileChange[]): void {
    for (const directory of this.#watchers.keys()) {
      if (directory !== path && !directory.startsWith(`${path}/`)) continue
      this.#watchers.get(directory)?.close()
      this.#watchers.delete(directory)
    }
    for (const file of this.#known.keys()) {
      if (file !== path && !file.startsWith(`${path}/`)) continue
      this.#known.delete(file)
      changes.push({ path: file, kind: 'removed' })
    }
  }

  #remember(path: string): void {
    const signature = signatureOf(path)
    if (signature === null) return
    const [, mtime] = signature.split(':')
    if (mtime === undefined || Number(mtime) < this.#began - CLOCK_GRAIN) {
      this.#known.set(path, signature)
      return
    }
    this.#dirty.add(path)
    this.#schedule()
  }

  #watch(directory: string): void {
    if (this.#watchers.has(directory)) return
    let watcher: FSWatcher
    try {
      watcher = watch(directory, (_, name) => this.#noted(directory, name))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // Not there, or not to be read: then nothing in it was used either.
      if (code !== 'ENOSPC' && code !== 'EMFILE') return
      throw new ThawError('WATCH_LIMIT', `${directory} cannot be watched (${code}).`, { cause: error })
    }
    watcher.on('error', () => watcher.close())
    this.#watchers.set(directory, watcher)
  }

  #noted(directory: string, name: string | null): void {
    if (name === null) for (const entry of list(directory)) this.#dirty.add(join(directory, entry.name))
    else this.#dirty.add(join(directory, name))
    this.#schedule()
  }

  #schedule(): void {
    const now = performance.now()
    if (this.#timer === null) this.#since = now
    else if (now - this.#since < PATIENCE) clearTimeout(this.#timer)
    else return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#onBurst()
    }, SILENCE)
  }
}

function list(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch {
    return []
  }
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory()
  } catch {
    return false
  }
}
