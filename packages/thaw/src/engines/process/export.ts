/** A checkpoint as one file, for another machine. Format: docs/export.md. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
  type BigIntStats,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { pack, type Headers, type Pack } from 'tar-stream'
import { syncDirectory } from '../../store/pack.js'
import { compress } from '../../store/zstd.js'
import { extentsOf, ThawError } from '../../system/index.js'
import { ENTRY, FRAME, LENGTH_FRAME, SKIPPED, SPARSE, type ExportWork } from './parcel.js'

/** Bytes between two pieces of a file that are not worth two entries in its map. */
const NEAR = 1 << 16

/** tar-stream takes what its types do not tell of: attributes that the old header has no place for. */
interface Header extends Headers {
  pax?: Record<string, string>
}

/**
 * Writes the file, readable by its owner only. On failure there is none.
 *
 * @returns its size in bytes
 * @throws ThawError EXPORT_UNWRITABLE, UNSUPPORTED naming what cannot be in such a file
 */
export async function writeExport({ file, about, roots, texts }: ExportWork): Promise<number> {
  if (existsSync(file)) throw new ThawError('EXPORT_UNWRITABLE', `${file} exists already.`)
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  let fd
  try {
    fd = openSync(temporary, 'wx', 0o600)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ThawError('EXPORT_UNWRITABLE', `${file} cannot be written (${code}).`, { cause: error })
  }
  try {
    const tar = pack()
    const written = writeFrames(fd, tar)
    const digests: Record<string, string> = {}
    const text = async (name: string, content: string) => {
      digests[name] = createHash('sha256').update(content).digest('hex')
      await add(tar, { name }, content)
    }
    const packed = (async () => {
      await text(ENTRY.about, JSON.stringify(about))
      for (const [name, content] of Object.entries(texts)) await text(name, content)
      for (const { from, as, without, sparse = false } of roots) {
        const links = new Map<bigint, string>()
        for (const name of readdirSync(from).sort()) {
          if (without.includes(name)) continue
          if (sparse) digests[`${as}/${name}`] = await addSparse(tar, join(from, name), `${as}/${name}`)
          else await addTree(tar, join(from, name), `${as}/${name}`, links, digests)
        }
      }
      await add(tar, { name: ENTRY.digests }, JSON.stringify(digests))
      tar.finalize()
    })()
    packed.catch((error: unknown) => tar.destroy(error as Error))
    const [size] = await Promise.all([written, packed])
    fsyncSync(fd)
    renameSync(temporary, file)
    syncDirectory(dirname(file))
    return size
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}

/** Frames of their own make it possible to read one after the other. */
async function writeFrames(fd: number, tar: Pack): Promise<number> {
  let size = 0
  let held: Buffer = Buffer.alloc(0)
  const write = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
    size += bytes.length
  }
  const frame = (content: Buffer) => {
    const bytes = compress(content)
    const length = Buffer.alloc(LENGTH_FRAME)
    length.writeUInt32LE(SKIPPED, 0)
    length.writeUInt32LE(4, 4)
    length.writeUInt32LE(bytes.length, 8)
    write(length)
    write(bytes)
  }
  for await (const chunk of tar) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    for (; held.length >= FRAME; held = held.subarray(FRAME)) frame(held.subarray(0, FRAME))
  }
  if (held.length > 0) frame(held)
  return size
}

/** @param links files seen before, by inode */
async function addTree(
  tar: Pack,
  path: string,
  name: string,
  links: Map<bigint, string>,
  digests: Record<string, string>,
): Promise<void> {
  const stat = lstatSync(path, { bigint: true })
  const header = headerOf(name, stat)
  if (stat.isDirectory()) {
    await add(tar, { ...header, type: 'directory' })
    for (const entry of readdirSync(path).sort())
      await addTree(tar, join(path, entry), `${name}/${entry}`, links, digests)
  } else if (stat.isSymbolicLink()) {
    await add(tar, { ...header, type: 'symlink', linkname: readlinkSync(path) })
  } else if (stat.isFIFO()) {
    await add(tar, { ...header, type: 'fifo' })
  } else if (stat.isFile()) {
    const before = links.get(stat.ino)
    if (before !== undefined) return await add(tar, { ...header, type: 'link', linkname: before })
    if (stat.nlink > 1n) links.set(stat.ino, name)
    digests[name] = await addFile(tar, path, { ...header, size: Number(stat.size) })
  } else if (!stat.isSocket()) {
    // criu makes sockets itself.
    throw new ThawError('UNSUPPORTED', `${path} is a device, which cannot be exported.`, {
      hint: 'Take a checkpoint when the program has removed it.',
    })
  }
}

function headerOf(name: string, stat: BigIntStats): Header {
  const nanoseconds = String(stat.mtimeNs % 1_000_000_000n).padStart(9, '0')
  return {
    name,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: new Date(Number(stat.mtimeMs)),
    pax: { mtime: `${stat.mtimeNs / 1_000_000_000n}.${nanoseconds}` },
  }
}

function add(tar: Pack, header: Header, content?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null) => (error ? reject(error) : resolve())
    if (content === undefined) tar.entry({ ...header, size: 0 }, done)
    else tar.entry(header, Buffer.from(content), done)
  })
}

/** A file without its holes. The digest is of the map and of what was read. */
async function addSparse(tar: Pack, path: string, name: string): Promise<string> {
  const fd = openSync(path, 'r')
  const pieces = piecesOf(fd)
  closeSync(fd)
  const stat = lstatSync(path, { bigint: true })
  const { pax, ...header } = headerOf(name, stat)
  const map = pieces.flatMap(({ from, to }) => [from, to - from]).join(',')
  const attributes = {
    ...pax,
    [SPARSE.size]: String(stat.size),
    [SPARSE.count]: String(pieces.length),
    [SPARSE.name]: name,
    [SPARSE.map]: map,
  }
  const size = pieces.reduce((sum, { from, to }) => sum + to - from, 0)
  return await addFile(tar, path, { ...header, size, pax: attributes }, pieces)
}

/** Where a file has bytes; what lies close together is one piece, so that there are not too many. */
function piecesOf(fd: number): { from: number; to: number }[] {
  const pieces: { from: number; to: number }[] = []
  for (const { from, to } of extentsOf(fd)) {
    const last = pieces.at(-1)
    if (last !== undefined && from - last.to < NEAR) last.to = to
    else pieces.push({ from, to })
  }
  return pieces
}

/** @param pieces those of the file that are written; default: all of it. Returns the digest of what was read. */
async function addFile(
  tar: Pack,
  path: string,
  header: Header,
  pieces?: readonly { from: number; to: number }[],
): Promise<string> {
  const digest = createHash('sha256').update(header.pax?.[SPARSE.map] ?? '')
  const fd = openSync(path, 'r')
  try {
    let entry: ReturnType<Pack['entry']> | undefined
    const added = new Promise<void>((resolve, reject) => {
      entry = tar.entry(header, (error) => (error ? reject(error) : resolve()))
    })
    for (const { from, to } of pieces ?? [{ from: 0, to: Infinity }]) {
      for (let at = from; at < to;) {
        const buffer = Buffer.allocUnsafe(FRAME)
        const size = readSync(fd, buffer, 0, Math.min(FRAME, to - at), at)
        if (size === 0) break
        digest.update(buffer.subarray(0, size))
        if (entry?.write(buffer.subarray(0, size)) === false) await once(entry, 'drain')
        at += size
      }
    }
    entry?.end()
    await added
    return digest.digest('hex')
  } finally {
    closeSync(fd)
  }
}
