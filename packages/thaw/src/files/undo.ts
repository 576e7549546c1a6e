/** The project's files as they were at a checkpoint, from what was kept before each write. */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fchmodSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { PreImage } from '@thaw/protocol/agent'

/** A program's first change of a path since its last checkpoint. */
export interface Write {
  seq: number
  path: string
  /** What was there before. */
  pre: PreImage
  mode: number | null
}

/** What a path held at some point: as in a write, or `unknown` when it was not kept. */
export type Content = { pre: Exclude<PreImage, { other: true }>; mode: number | null } | 'unknown'

/**
 * What `path` held at position `seq` of a branch.
 *
 * @param writes of that branch, in order
 * @param after what the branch left when it ended
 */
export function contentAt(path: string, seq: number, writes: readonly Write[], after: Content): Content {
  const next = writes.find((write) => write.path === path && write.seq > seq)
  return next === undefined ? after : contentBefore(next)
}

/** What a path held before a write. */
export function contentBefore({ pre, mode }: Pick<Write, 'pre' | 'mode'>): Content {
  return typeof pre === 'object' && pre !== null && 'other' in pre ? 'unknown' : { pre, mode }
}

/** Keeps what is at `path` in the file `keepAs`. Throws when it cannot be kept. */
export function keepContent(path: string, keepAs: string): Content {
  let stat
  try {
    stat = lstatSync(path)
  } catch {
    return { pre: null, mode: null }
  }
  if (stat.isSymbolicLink()) return { pre: { link: readlinkSync(path) }, mode: null }
  if (stat.isDirectory()) return { pre: 'dir', mode: stat.mode & 0o7777 }
  if (!stat.isFile()) return 'unknown'
  copyFileSync(path, keepAs)
  return { pre: keepAs, mode: stat.mode & 0o7777 }
}

export function isAlready(path: string, pre: Exclude<PreImage, { other: true }>): boolean {
  let stat
  try {
    stat = lstatSync(path)
  } catch {
    return pre === null
  }
  if (pre === null) return false
  if (pre === 'dir') return stat.isDirectory()
  if (typeof pre === 'object') return stat.isSymbolicLink() && readlinkSync(path) === pre.link
  if (!stat.isFile() || stat.size !== lstatSync(pre).size) return false
  return readFileSync(path).equals(readFileSync(pre))
}

function removeWhatIsThere(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
    try {
      rmdirSync(path)
    } catch {
      // Somebody else has files in it: the directory is theirs now.
    }
  } else rmSync(path, { force: true })
}

function putOne(path: string, { pre, mode }: Exclude<Content, 'unknown'>): void {
  if (pre === null) return removeWhatIsThere(path)
  mkdirSync(dirname(path), { recursive: true })
  if (pre === 'dir') {
    if (!existsSync(path)) mkdirSync(path)
    // The daemon's own umask has no say in what the program had made.
    chmodSync(path, mode ?? 0o755)
    return
  }
  if (typeof pre === 'object') {
    removeWhatIsThere(path)
    return symlinkSync(pre.link, path)
  }
  const data = readFileSync(pre)
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there !== undefined && !there.isFile()) removeWhatIsThere(path)
  // In place: whoever has the file open, or linked, sees the same file.
  const fd = openSync(path, there?.isFile() === true ? 'r+' : 'w')
  try {
    if (mode !== null) fchmodSync(fd, mode)
    ftruncateSync(fd, 0)
    for (let at = 0; at < data.length;) at += writeSync(fd, data, at)
  } finally {
    closeSync(fd)
  }
}

/** Gives every path its content. Paths that have it already are not touched. Returns the paths that were changed. */
export function putBack(contents: ReadonlyMap<string, Exclude<Content, 'unknown'>>): string[] {
  const wrong = [...contents].filter(([path, content]) => !isAlready(path, content.pre))
  // Removing goes from the leaves up, making from the root down.
  const removals = wrong.filter(([, content]) => content.pre === null).sort(([a], [b]) => (a < b ? 1 : -1))
  const others = wrong.filter(([, content]) => content.pre !== null).sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [path, content] of [...removals, ...others]) putOne(path, content)
  return wrong.map(([path]) => path)
}
