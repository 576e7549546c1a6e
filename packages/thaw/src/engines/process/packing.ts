/**
 * The large files of an image as names of pages in a store, and back.
 *
 * An emptied file stays where it is, so that its owner, mode, links and attributes are kept. The names are on disk
 * before the manifest speaks of them, and files are emptied after that: one of the two is always whole.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
  type BigIntStats,
} from 'node:fs'
import { join } from 'node:path'
import { NAME, PAGE, pageName } from '../../store/pack.js'
import type { PagesCollected, PageStore } from '../../store/pages.js'
import { bootId, setTimes, ThawError, writeFileAtomic } from '../../system/index.js'
import { lastUse, PART, ProcessImage, writeManifest } from './image.js'

/** Files below this size stay as they are. */
const LARGE = 64 * 1024
const WRITE_PAGES = 256
const EMPTY_PAGE = pageName(Buffer.alloc(PAGE))

/** Bytes of an image that packing would free; of one that is damaged, none. */
export function unpackedBytes(directory: string): number {
  try {
    const { packed, sizes } = ProcessImage.open(directory).manifest
    if (packed !== null && stateOf(directory) === null) return 0
    return Object.values(sizes).reduce((sum, size) => sum + (size >= LARGE ? size : 0), 0)
  } catch {
    return 0
  }
}

/** Whether the files of an image hold what the manifest says. */
export function isUnpacked(image: ProcessImage): boolean {
  return image.manifest.packed === null || stateOf(image.directory) === bootId()
}

/**
 * Empties the large files of an image when their pages are in the store.
 *
 * @param go asked now and then; false gives up, and the image stays as it is
 * @throws ThawError CANCELLED, IMAGE_BROKEN, DISK_FULL; after any of them the store is not to be used any more
 */
export async function packImage(directory: string, store: PageStore, go: () => boolean): Promise<void> {
  const { manifest } = ProcessImage.open(directory)
  if (manifest.packed === null) {
    const files: Record<string, string> = {}
    const names: Buffer[] = []
    const before = store.bytes
    for (const [name, stat] of worthPacking(directory, manifest.sizes)) {
      names.push(store.put(join(directory, name), go))
      files[name] = String(stat.mtimeNs)
    }
    store.flush()
    const all = Buffer.concat(names)
    await writeFileAtomic(join(directory, PART.pages), all)
    await writeFileAtomic(join(directory, PART.unpacked), bootId())
    manifest.packed = { files, digest: digest(all), stored: store.bytes - before }
    manifest.format = 2
    await writeManifest(directory, manifest)
  }
  await emptyFiles(directory, manifest.packed.files)
}

/**
 * Fills the emptied files of an image again, each page checked.
 *
 * @throws ThawError IMAGE_BROKEN naming what is missing, DISK_FULL; the image is then as packed as before
 */
export async function unpackImage(directory: string, store: PageStore): Promise<void> {
  const image = ProcessImage.open(directory)
  const { packed, sizes } = image.manifest
  if (packed === null || isUnpacked(image)) return
  const names = namesOf(image)
  // What is missing is found before anything is written.
  for (let at = 0; at < names.length; at += NAME) {
    if (!store.has(names, at) && !isEmpty(names, at)) throw broken(directory, store.missing(names, at))
  }
  await writeFileAtomic(join(directory, PART.unpacked), '')
  let at = 0
  for (const [name, modified] of Object.entries(packed.files)) {
    const path = join(directory, name)
    const size = sizes[name] as number
    try {
      fillFile(path, size, names, at, store)
      setTimes(path, BigInt(modified), BigInt(modified))
    } catch (error) {
      await emptyFiles(directory, packed.files)
      throw error instanceof ThawError && error.code === 'IMAGE_BROKEN' ? broken(path, error) : error
    }
    at += Math.ceil(size / PAGE) * NAME
  }
  await writeFileAtomic(join(directory, PART.unpacked), bootId())
}

/**
 * Removes from the store what none of these images names. An image that cannot be read to the end is an end of the
 * collection, unless it is damaged: what it names is then not known, but it cannot be restored either.
 */
export function collectPages(images: readonly string[], store: PageStore): PagesCollected {
  const used = images.flatMap((directory) => {
    if (lastUse(directory) === null) return []
    try {
      const image = ProcessImage.open(directory)
      return image.manifest.packed === null ? [] : [namesOf(image)]
    } catch (error) {
      if (error instanceof ThawError && error.code === 'IMAGE_BROKEN' && !isUnreadable(error.cause)) return []
      throw error
    }
  })
  return store.collect(used)
}

/** Directories of all images, of all runs. */
export function listImages(runs: string): string[] {
  return placesOf(runs).flatMap(imagesIn)
}

/** Directories of all runs in which images lie. */
export function placesOf(runs: string): string[] {
  return list(runs).map((run) => join(runs, run, 'images'))
}

/** Those that lie in a directory. */
export function imagesIn(directory: string): string[] {
  return list(directory).flatMap((name) => (name.endsWith('.draft') ? [] : [join(directory, name)]))
}

function namesOf({ directory, manifest }: ProcessImage): Buffer {
  const file = join(directory, PART.pages)
  let names
  try {
    names = readFileSync(file)
  } catch (error) {
    throw new ThawError('IMAGE_BROKEN', `${file} cannot be read.`, { cause: error })
  }
  if (digest(names) === manifest.packed?.digest) return names
  throw new ThawError('IMAGE_BROKEN', `${file} is damaged.`)
}

async function emptyFiles(directory: string, files: Record<string, string>): Promise<void> {
  if (stateOf(directory) === null) return
  // Not whole from now on, whatever happens.
  await writeFileAtomic(join(directory, PART.unpacked), '')
  for (const name of Object.keys(files)) truncateSync(join(directory, name))
  rmSync(join(directory, PART.unpacked))
}

function fillFile(path: string, size: number, names: Buffer, from: number, store: PageStore): void {
  const fd = openSync(path, 'r+')
  try {
    ftruncateSync(fd, 0)
    ftruncateSync(fd, size)
    const buffer = Buffer.alloc(WRITE_PAGES * PAGE)
    let held = 0
    let position = 0
    const write = () => {
      const end = Math.min(held, size - position)
      for (let done = 0; done < end;) done += writeSync(fd, buffer, done, end - done, position + done)
      position += held
      held = 0
    }
    for (let at = from; position + held < size; at += NAME) {
      if (isEmpty(names, at)) {
        // Stays a hole.
        write()
        position += PAGE
        continue
      }
      buffer.set(store.get(names, at), held)
      held += PAGE
      if (held === buffer.length) write()
    }
    write()
  } finally {
    closeSync(fd)
  }
}

/** Regular files that can be emptied and filled again, as they were found to be. */
function worthPacking(directory: string, sizes: Record<string, number>): [string, BigIntStats][] {
  const seen = new Set<bigint>()
  return Object.entries(sizes).flatMap(([name, size]): [string, BigIntStats][] => {
    // Layers are shared with other images by hard links.
    if (size < LARGE || name.startsWith(`${PART.layers}/`)) return []
    const path = join(directory, name)
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
    if (stat?.size !== BigInt(size)) throw new ThawError('IMAGE_BROKEN', `${path} is not whole.`)
    // Without root, a write takes these bits away, and needs the permission.
    const mode = Number(stat.mode)
    if ((mode & 0o6000) !== 0 || (mode & 0o600) !== 0o600 || seen.has(stat.ino)) return []
    seen.add(stat.ino)
    return [[name, stat]]
  })
}

function isEmpty(names: Buffer, at: number): boolean {
  return names.compare(EMPTY_PAGE, 0, NAME, at, at + NAME) === 0
}

/** Since which boot the files are whole; empty: they are not; null: they are empty, or were never packed. */
function stateOf(directory: string): string | null {
  try {
    return readFileSync(join(directory, PART.unpacked), 'utf8')
  } catch {
    return null
  }
}

function isUnreadable(cause: unknown): boolean {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException
  return code !== undefined && code !== 'ENOENT'
}

function broken(what: string, why: ThawError): ThawError {
  return new ThawError('IMAGE_BROKEN', `${what}: ${why.message}`, { cause: why })
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
