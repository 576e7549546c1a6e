/** Walks over a project, within bounds. */
import { readdirSync, statSync, type Dirent } from 'node:fs'
import { join } from 'node:path'

const SKIPPED = new Set(['node_modules', '__pycache__', 'site-packages'])
/** Entries looked at in one walk at most. */
const LIMIT = 50_000

interface Listing {
  stamp: string
  directories: string[]
  files: string[]
}

/** A project's tree. A directory is listed again only when its time shows that entries came or went. */
export class ProjectTree {
  readonly root: string
  readonly #listings = new Map<string, Listing>()

  constructor(root: string) {
    this.root = root
  }

  /** Every file outside of skipped and hidden directories; false as second value when the bound was hit. */
  files(): [files: string[], complete: boolean] {
    const files: string[] = []
    const queue = [this.root]
    const seen = new Set<string>()
    for (let directory = queue.pop(); directory !== undefined; directory = queue.pop()) {
      const listing = this.#list(directory)
      seen.add(directory)
      if (listing === null) continue
      files.push(...listing.files)
      queue.push(...listing.directories)
      if (files.length + seen.size > LIMIT) return [files, false]
    }
    for (const known of this.#listings.keys()) if (!seen.has(known)) this.#listings.delete(known)
    return [files, true]
  }

  /** Names under which an import could find something: modules and packages, with their paths. */
  modules(): Map<string, string> {
    const modules = new Map<string, string>()
    for (const file of this.files()[0]) {
      const match = /\/([^/.]+)(?:\.[^/]*)?\.(?:py|so|pyd|pyc)$/.exec(file)
      if (match?.[1] !== undefined) modules.set(file, match[1])
    }
    for (const directory of this.#listings.keys()) {
      if (directory !== this.root) modules.set(directory, directory.slice(directory.lastIndexOf('/') + 1))
    }
    return modules
  }

  /** Files whose inode changed at or after `since` (milliseconds since 1970). */
  changedSince(since: number): string[] {
    return this.files()[0].filter((file) => {
      try {
        return statSync(file).ctimeMs >= since
      } catch {
        return false
      }
    })
  }

  #list(directory: string): Listing | null {
    try {
      const stat = statSync(directory, { bigint: true })
      const stamp = `${stat.ino}:${stat.mtimeNs}`
      const known = this.#listings.get(directory)
      // A directory that changed just now may change again within the clock's grain.
      const settled = Number(stat.mtimeNs / 1_000_000n) < Date.now() - 100
      if (known?.stamp === stamp && settled) return known
      const entries = readdirSync(directory, { withFileTypes: true })
      const named = (wanted: (entry: Dirent) => boolean) =>
        entries.filter(wanted).map((entry) => join(directory, entry.name))
      const listing = {
        stamp: settled ? stamp : '',
        directories: named((e) => e.isDirectory() && !e.name.startsWith('.') && !SKIPPED.has(e.name)),
        files: named((e) => e.isFile() || e.isSymbolicLink()),
      }
      this.#listings.set(directory, listing)
      return listing
    } catch {
      this.#listings.delete(directory)
      return null
    }
  }
}
