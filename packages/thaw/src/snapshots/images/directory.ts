/** A directory of this machine as a root file system. */
import { createReadStream, readlinkSync, type Stats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { checkScope, type Scope } from '../../system/index.js'
import type { Entry, RootWriter } from './root-writer.js'

/** Copies what is in a directory, hard links within it included. */
export async function applyDirectory(from: string, writer: RootWriter, scope: Scope): Promise<void> {
  /** Names of files that have several, by device and inode. */
  const seen = new Map<string, string>()
  const visit = async (name: string): Promise<void> => {
    checkScope(scope, 'importing a directory')
    const path = join(from, name)
    const found = await lstat(path)
    const key = `${found.dev}:${found.ino}`
    const before = found.isFile() && found.nlink > 1 ? seen.get(key) : undefined
    if (before === undefined && found.isFile() && found.nlink > 1) seen.set(key, name)
    const entry = entryOf(name, path, found, before)
    writer.count(entry.size)
    await writer.put(entry, contentOf(path), false)
    if (!found.isDirectory()) return
    for (const child of await readdir(path)) await visit(name === '' ? child : `${name}/${child}`)
  }
  writer.beginLayer()
  await visit('')
}

function entryOf(name: string, path: string, found: Stats, link: string | undefined): Entry {
  const { mode, uid, gid, mtime } = found
  const type = link === undefined ? typeOf(found) : 'link'
  const target = link ?? (type === 'symlink' ? readlinkSync(path) : '')
  const size = type === 'file' ? found.size : 0
  return { name, type, mode: mode & 0o7777, uid, gid, mtime, target, size, extras: [] }
}

function typeOf(found: Stats): Entry['type'] {
  if (found.isFile()) return 'file'
  if (found.isDirectory()) return 'directory'
  if (found.isSymbolicLink()) return 'symlink'
  if (found.isFIFO()) return 'fifo'
  return found.isSocket() ? 'socket' : 'device'
}

/** Opened when it is read. */
async function* contentOf(path: string): AsyncGenerator<Buffer> {
  yield* createReadStream(path) as AsyncIterable<Buffer>
}
