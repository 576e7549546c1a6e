/** A root file system out of a directory, an archive, or another tool's image. */
import { chmodSync, mkdirSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Imported } from '@thaw/protocol'
import { removeTree, startProcess, ThawError, type Scope } from '../../system/index.js'
import { applyArchive, readArchive } from './archive.js'
import { applyDirectory } from './directory.js'
import { MARKS, readLayout, type ImageConfig } from './layout.js'
import { RootWriter, type Budget } from './root-writer.js'
import { findFile } from '../../files/within.js'

const UNKNOWN = { digest: null, size: null, content: null }

export interface ImportResult {
  imported: Imported
  config: ImageConfig['config']
}

/**
 * Fills `draft/rootfs`. On failure `draft` holds rubbish, which is the caller's to remove.
 *
 * @param draft an empty directory
 * @throws ThawError FILE_UNREADABLE, IMAGE_REFUSED, UNSUPPORTED, DISK_FULL, CANCELLED
 */
export async function importRoot(
  source: string,
  reference: string | null,
  draft: string,
  scope: Scope,
  most?: Budget,
): Promise<ImportResult> {
  const root = join(draft, 'rootfs')
  mkdirSync(root)
  chmodSync(root, 0o755)
  const owners = process.getuid?.() === 0
  const writer = new RootWriter(root, owners, most)
  const found = await stat(source).catch((error: NodeJS.ErrnoException) => {
    throw new ThawError('FILE_UNREADABLE', `${source} cannot be read (${error.code}).`, { cause: error })
  })
  const about = { format: 'directory' as Imported['format'], digest: null as string | null, layers: 1 }
  let config: ImageConfig['config'] = null
  const isArchive = !found.isDirectory()
  const marked = isArchive ? await holdsLayout(source, scope) : findFile(source, MARKS.oci) !== null
  if (marked) {
    const unpacked = join(draft, 'layout')
    if (isArchive) {
      mkdirSync(unpacked, { mode: 0o700 })
      const archive = new RootWriter(unpacked, false, most)
      await applyArchive(source, UNKNOWN, archive, false, scope)
      archive.finish()
    }
    const layout = readLayout(isArchive ? unpacked : source, reference)
    for (const { file, expected } of layout.layers) await applyArchive(file, expected, writer, true, scope)
    removeTree(unpacked)
    config = layout.config.config ?? null
    Object.assign(about, { format: layout.format, digest: layout.digest, layers: layout.layers.length })
  } else if (isArchive) {
    await applyArchive(source, UNKNOWN, writer, false, scope)
    about.format = 'tar'
  } else await applyDirectory(source, writer, scope)
  if (writer.used.entries === 0) throw new ThawError('IMAGE_REFUSED', `${source} holds nothing.`)
  writer.finish()
  await bringToDisk(root, scope)
  const { bytes, entries } = writer.used
  return { imported: { source, ...about, entries, bytes, owners, left_out: writer.leftOut }, config }
}

class Found extends Error {}

/** Whether an archive is another tool's image; the first thing that says so ends the search. */
async function holdsLayout(file: string, scope: Scope): Promise<boolean> {
  const marks: readonly string[] = Object.values(MARKS)
  try {
    await readArchive(
      file,
      UNKNOWN,
      () => {},
      (entry) => {
        const marked = entry.type === 'file' && marks.includes(entry.name.replace(/^\.\//, ''))
        return marked ? Promise.reject(new Found()) : Promise.resolve()
      },
      scope,
    )
    return false
  } catch (error) {
    if (error instanceof Found) return true
    throw error
  }
}

/** One call for the whole file system: fsync of each of many small files takes minutes. */
async function bringToDisk(directory: string, scope: Scope): Promise<void> {
  const argv = ['sync', '--file-system', directory]
  const child = await startProcess(argv, { cwd: '/', stdio: ['ignore', 'ignore', 'ignore'] }, scope)
  const { code } = await child.exited
  if (code !== 0) throw new ThawError('DISK_FULL', 'The image could not be brought to disk.')
}
