/** How files look now, in the terms in which programs' observations are reported. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, statSync, type BigIntStats } from 'node:fs'
import { join } from 'node:path'
import type { ReadSignature, StatSignature } from '@thaw/protocol/agent'

/** Larger files are compared by size and time only. Bytes. */
const HASHED_LIMIT = 16 * 1024 * 1024

function tryStat(path: string, follow: boolean): BigIntStats | null {
  try {
    return follow ? statSync(path, { bigint: true }) : lstatSync(path, { bigint: true })
  } catch {
    return null
  }
}

export function readSignatureOf(path: string): ReadSignature {
  const stat = tryStat(path, true)
  // As doubles, exactly as JSON brings the program's own numbers.
  return stat === null ? null : [Number(stat.size), Number(stat.mtimeNs), Number(stat.ino)]
}

function statSignature(path: string, follow: boolean): StatSignature {
  const stat = tryStat(path, follow)
  if (stat === null) return null
  const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'dir' : stat.isSymbolicLink() ? 'link' : 'other'
  return [kind, Number(stat.size), Number(stat.mtimeNs), Number(stat.mode & 0o7777n)]
}

export const statSignatureOf = (path: string): StatSignature => statSignature(path, true)
/** The same of a symbolic link itself. */
export const linkSignatureOf = (path: string): StatSignature => statSignature(path, false)

/** Same kind and, where both were looked at, same size, time and permissions of a file. */
export function sameStat(a: StatSignature, b: StatSignature): boolean {
  if (a === null || b === null) return a === b
  if (a[0] !== b[0] || a.length === 1 || b.length === 1) return a[0] === b[0]
  return a[1] === b[1] && a[2] === b[2] && a[3] === b[3]
}

/** Text that differs when the thing at `path` itself (link not followed) was replaced or written; null: absent. */
export function diskState(path: string): string | null {
  const stat = tryStat(path, false)
  if (stat === null) return null
  // Entries come and go in a directory; what is in it is tracked entry by entry.
  if (stat.isDirectory()) return 'dir'
  return `${stat.mode}:${stat.size}:${stat.mtimeNs}:${stat.ino}`
}

/** Whether two states of one file differ in nothing but the time of the last writing. */
export function onlyRewritten(a: string | null, b: string | null): boolean {
  const withoutTime = (state: string) => state.split(':').toSpliced(2, 1).join(':')
  return a !== null && b !== null && withoutTime(a) === withoutTime(b)
}

const SLASH = Buffer.from('/')
/** What tools leave behind without meaning: agents/python/thaw_agent/observe.py names the same. */
const UNLISTED = new Set(['__pycache__', '.pytest_cache', '.benchmarks'])

export function isUnlisted(name: string): boolean {
  return UNLISTED.has(name) || name.endsWith('.pyc')
}

/** Digest of the names in a directory, subdirectories marked, without compiled Python files; null: absent. */
export function listDigest(directory: string): string | null {
  try {
    const entries = readdirSync(directory, { encoding: 'buffer', withFileTypes: true }).filter(
      ({ name }) => !isUnlisted(name.toString('latin1')),
    )
    const names = entries.map((entry) =>
      entry.isDirectory() ? Buffer.concat([entry.name, SLASH]) : entry.name,
    )
    // By code point, as Python sorts, not by UTF-16 unit.
    names.sort(Buffer.compare)
    const hash = createHash('sha1')
    names.forEach((name, i) => {
      if (i > 0) hash.update('\0')
      hash.update(name)
    })
    return hash.digest('hex')
  } catch {
    return null
  }
}

/** Names that an import could find in a directory, as agents/python/thaw_agent/searches.py has them; null: absent. */
export function namesIn(directory: string): string[] | null {
  try {
    const names = readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      const name = entry.name.split('.', 1)[0] ?? ''
      if (!/^\w+$/.test(name)) return []
      if (/\.(py|pyc|so|pyd)$/.test(entry.name)) return [name]
      if (name !== entry.name) return []
      const followed = entry.isSymbolicLink() ? tryStat(join(directory, name), true) : entry
      return followed?.isDirectory() === true ? [name] : []
    })
    return [...new Set(names)]
  } catch {
    return null
  }
}

/** Names of what an interpreter reads in a directory at its start, beside its modules; null: absent. */
export function settingsIn(directory: string): string[] | null {
  try {
    return readdirSync(directory).filter((name) => /\.pth$|^(site|user)customize/.test(name))
  } catch {
    return null
  }
}

/** Contents of files by how they looked, so that a file that was only touched counts as unchanged. */
export class ContentHashes {
  readonly #known = new Map<string, string>()

  #key(path: string, sig: NonNullable<ReadSignature>): string {
    return `${path}\0${sig.join(':')}`
  }

  /** Remembers the content of a file that still looks as it did when it was read. */
  remember(path: string, sig: ReadSignature): void {
    if (sig === null || sig[0] > HASHED_LIMIT || this.#known.has(this.#key(path, sig))) return
    this.hash(path, sig)
  }

  /** Digest of the content `path` had when it looked like `sig`; null when that is not known any more. */
  hash(path: string, sig: NonNullable<ReadSignature>): string | null {
    const key = this.#key(path, sig)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    if (sig[0] > HASHED_LIMIT || !sameRead(readSignatureOf(path), sig)) return null
    try {
      const digest = createHash('sha1').update(readFileSync(path)).digest('hex')
      if (!sameRead(readSignatureOf(path), sig)) return null
      if (this.#known.size > 100_000) this.#known.clear()
      this.#known.set(key, digest)
      return digest
    } catch {
      return null
    }
  }
}

export function sameRead(a: ReadSignature, b: ReadSignature): boolean {
  if (a === null || b === null) return a === b
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2]
}
