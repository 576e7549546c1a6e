/** Reads what export.ts has written, as one reads what a stranger has written. */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  statfsSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { extract, type Entry, type Headers } from 'tar-stream'
import { decompress } from '../../store/zstd.js'
import { makeFifo, setTimes, ThawError } from '../../system/index.js'
import { PART } from './image.js'
import { ENTRY, FRAME, LENGTH_FRAME, SKIPPED, SPARSE, type Imported, type ParcelKind } from './parcel.js'

const MOST_ENTRIES = 1_000_000
const LONGEST_NAME = 4000
const LARGEST_TEXT = 64 << 20
/** What may be in an image, and where anything but files and directories may lie. */
const PARTS: readonly string[] = [PART.criu, PART.reaper, PART.stdin, PART.temporary, PART.memory, PART.files]
const TREES = [PART.temporary, PART.memory].map((part) => `${ENTRY.image}/${part}/`)
/** Files of a machine's snapshot. */
const MACHINE = new RegExp(`^${ENTRY.image}/(memory|state|kernel|initrd|disk-\\d{1,3})$`)
const TEXTS: readonly string[] = [ENTRY.about, ENTRY.digests, ENTRY.manifest]
const OUTPUT = ['stdout', 'stderr', 'order'].map((name) => `${ENTRY.output}/${name}`)

interface Late {
  path: string
  header: Headers
}

/**
 * Puts what a file holds below a directory that is empty. What it needs in memory and on the disk is bounded by what
 * is free, not by what the file claims.
 *
 * @throws ThawError IMPORT_REFUSED naming what is wrong, DISK_FULL; then something may be left in the directory
 */
export async function readExport(
  file: string,
  directory: string,
  kind: ParcelKind = 'checkpoint',
): Promise<Imported> {
  const texts: Record<string, string> = {}
  const digests: Record<string, string> = {}
  const links: Late[] = []
  const late: Late[] = []
  let entries = 0
  for (const name of [ENTRY.image, ENTRY.output]) mkdirSync(join(directory, name), { mode: 0o700 })
  const { bavail, bsize } = statfsSync(directory)
  let free = bavail * bsize
  const input = openInput(file)
  const tar = extract()
  const source = Readable.from(frames(input))
  source.on('error', (error) => tar.destroy(error))
  source.pipe(tar)
  try {
    for await (const entry of tar) {
      const { header } = entry
      if (++entries > MOST_ENTRIES) throw refused('it has too many entries')
      if (texts[ENTRY.digests] !== undefined) throw refused('something follows its end')
      const name = checkName(header, kind)
      const size = header.size ?? 0
      if ((free -= size) < 0) {
        throw new ThawError('DISK_FULL', `${file} holds more than there is room for.`)
      }
      const path = join(directory, name)
      if (TEXTS.includes(name)) {
        texts[name] = await readText(entry, name)
        digests[name] = createHash('sha256').update(texts[name]).digest('hex')
      } else if (header.type === 'file') {
        digests[name] = await writeFile(entry, path)
        setAttributes(path, header)
      } else {
        if (header.type === 'directory') mkdirSync(path, { mode: 0o700 })
        else if (header.type === 'fifo') makeFifo(path, header.mode ?? 0o600)
        // Nothing is written through a link: they are made when all else is there.
        if (header.type === 'symlink' || header.type === 'link') links.push({ path, header })
        else late.push({ path, header })
        entry.resume()
      }
    }
    for (const { path, header } of links) {
      const to = header.linkname ?? ''
      if (header.type === 'symlink') {
        symlinkSync(to, path)
        own(path, header)
      } else if (digests[to] === undefined || !isInTree(to)) {
        throw refused(`${header.name} is a link to something else`)
      } else linkSync(join(directory, to), path)
    }
    // Times of directories change with their entries: the innermost first.
    for (const { path, header } of late.reverse()) setAttributes(path, header)
  } catch (error) {
    source.destroy()
    throw asRefusal(error)
  }
  checkDigests(texts, digests)
  return { about: texts[ENTRY.about] ?? '', manifest: texts[ENTRY.manifest] ?? '' }
}

function openInput(file: string): number {
  try {
    return openSync(file, 'r')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ThawError('FILE_UNREADABLE', `${file} cannot be read (${code}).`, {
      cause: error,
      hint: 'Check the path, and its permissions.',
    })
  }
}

/** Closes what it is given. */
function* frames(fd: number): Generator<Uint8Array> {
  try {
    for (;;) {
      const head = readUpTo(fd, LENGTH_FRAME)
      if (head.length === 0) return
      if (head.length < LENGTH_FRAME || head.readUInt32LE(0) !== SKIPPED || head.readUInt32LE(4) !== 4)
        throw refused('it is no export of a checkpoint, or it ends early')
      const length = head.readUInt32LE(8)
      // What does not compress grows by little.
      if (length > FRAME + FRAME / 8) throw refused('it is damaged')
      const frame = readUpTo(fd, length)
      if (frame.length < length) throw refused('it ends early')
      yield decompress(frame, FRAME)
    }
  } finally {
    closeSync(fd)
  }
}

function readUpTo(fd: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let size = 0
  while (size < length) {
    const more = readSync(fd, bytes, size, length - size, null)
    if (more === 0) break
    size += more
  }
  return bytes.subarray(0, size)
}

function checkName({ name, type }: Headers, kind: ParcelKind): string {
  const parts = name.replace(/\/$/, '').split('/')
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'))
  if (!isPlain || Buffer.byteLength(name) > LONGEST_NAME)
    throw refused(`${JSON.stringify(name)} is no name for a part of it`)
  const path = parts.join('/')
  const isFile = type === 'file'
  const isPart = kind === 'machine' ? isFile && MACHINE.test(path) : isPartOfProgram(path, type)
  if (!isPart && !(isFile && TEXTS.includes(path)))
    throw refused(
      `${JSON.stringify(name)} (${type}) is no part of a ${kind === 'machine' ? 'snapshot' : 'checkpoint'}`,
    )
  return path
}

function isPartOfProgram(path: string, type: Headers['type']): boolean {
  const [first, second = ''] = path.split('/')
  const isFile = type === 'file'
  return (
    (isFile && OUTPUT.includes(path)) ||
    (first === ENTRY.image && PARTS.includes(second) && (isFile || type === 'directory')) ||
    (isInTree(path) && (type === 'symlink' || type === 'link' || type === 'fifo'))
  )
}

function isInTree(path: string): boolean {
  return TREES.some((tree) => path.startsWith(tree))
}

async function readText(entry: Entry, name: string): Promise<string> {
  if ((entry.header.size ?? 0) > LARGEST_TEXT) throw refused(`${name} is too large`)
  const parts: Buffer[] = []
  for await (const part of entry) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}

/** Returns the digest of what was written. */
async function writeFile(entry: Entry, path: string): Promise<string> {
  const { pax } = entry.header as { pax?: Record<string, string> | null }
  const map = pax?.[SPARSE.map]
  const digest = createHash('sha256').update(map ?? '')
  const size = entry.header.size ?? 0
  const pieces =
    map === undefined ? [{ at: 0, length: size }] : piecesOf(map, size, Number(pax?.[SPARSE.size]))
  const fd = openSync(path, 'wx', 0o600)
  try {
    if (map !== undefined) ftruncateSync(fd, Number(pax?.[SPARSE.size]))
    for await (const part of entry) {
      const bytes = part as Buffer
      digest.update(bytes)
      for (let done = 0; done < bytes.length;) {
        const [piece] = pieces
        if (piece === undefined) throw refused('it is damaged')
        const written = writeSync(fd, bytes, done, Math.min(bytes.length - done, piece.length), piece.at)
        done += written
        piece.at += written
        piece.length -= written
        if (piece.length === 0) pieces.shift()
      }
    }
    return digest.digest('hex')
  } finally {
    closeSync(fd)
  }
}

/** Where the bytes of an entry belong in a file with holes. */
function piecesOf(map: string, bytes: number, size: number): { at: number; length: number }[] {
  const numbers = map === '' ? [] : map.split(',').map(Number)
  const pieces = numbers.flatMap((at, n) => (n % 2 === 0 ? [{ at, length: numbers[n + 1] ?? NaN }] : []))
  let end = 0
  let sum = 0
  for (const { at, length } of pieces) {
    if (!Number.isSafeInteger(at) || !Number.isSafeInteger(length) || at < end || length <= 0) end = NaN
    else end = at + length
    sum += length
  }
  if (!Number.isSafeInteger(size) || !(end <= size) || sum !== bytes) throw refused('it is damaged')
  return pieces
}

/** Prerequisite: the path is no symbolic link. */
function setAttributes(path: string, header: Headers): void {
  own(path, header)
  chmodSync(path, (header.mode ?? 0o600) & 0o7777)
  const { pax } = header as { pax?: Record<string, string> | null }
  const match = /^(\d{1,12})\.(\d{9})$/.exec(pax?.['mtime'] ?? '')
  if (match === null) return
  const modified = BigInt(`${match[1]}${match[2]}`)
  setTimes(path, modified, modified)
}

/** Without root everything is one's own. */
function own(path: string, { uid, gid }: Headers): void {
  if (process.getuid?.() === 0) lchownSync(path, uid ?? 0, gid ?? 0)
}

function checkDigests(texts: Record<string, string>, found: Record<string, string>): void {
  const last = texts[ENTRY.digests]
  if (last === undefined) throw refused('it ends early')
  let said: unknown
  try {
    said = JSON.parse(last)
  } catch {
    throw refused('its digests cannot be read')
  }
  const { [ENTRY.digests]: _itself, ...parts } = found
  const expected = (said ?? {}) as Record<string, unknown>
  for (const name of new Set([...Object.keys(expected), ...Object.keys(parts)])) {
    if (expected[name] === parts[name]) continue
    const what = parts[name] === undefined ? 'is missing' : 'is damaged, or was not part of it'
    throw refused(`${JSON.stringify(name)} ${what}`)
  }
}

function refused(why: string): ThawError {
  return new ThawError('IMPORT_REFUSED', `The file was not imported: ${why}.`)
}

function asRefusal(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  if (error instanceof ThawError) return error.code === 'IMAGE_BROKEN' ? refused('it is damaged') : error
  if (code === 'ENOSPC' || code === 'EIO' || code === 'EACCES') return error
  if (code === 'EEXIST') return refused('a part of it is there twice')
  return refused(message.replace(/\.$/, ''))
}
