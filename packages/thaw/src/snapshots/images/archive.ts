/** Tar archives, as they are or compressed. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { PassThrough, Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
// Of a stream, which store/zstd.ts' library knows only whole.
import { Decompress } from 'fzstd'
import { extract as extractTar, type Headers } from 'tar-stream'
import { checkScope, ThawError, type Scope } from '../../system/index.js'
import type { Entry, RootWriter } from './root-writer.js'

/** What a file has to be, as `sha256:…` and bytes; null: not known. */
export interface Expected {
  /** Of the file. */
  digest: string | null
  size: number | null
  /** Of the archive in it, unpacked. */
  content: string | null
}

const MAGIC: readonly (readonly [string, Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a])],
  ['bzip2', Buffer.from('BZh')],
]

const TYPES: Record<string, Entry['type']> = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'link',
  fifo: 'fifo',
  'character-device': 'device',
  'block-device': 'device',
}

/**
 * Hands every entry of an archive to `each`, which has to read its content or let it run out.
 *
 * @param unpacked told of every byte of the archive, after decompression
 * @throws ThawError IMAGE_REFUSED when it is damaged, or not what was expected
 */
export async function readArchive(
  file: string,
  expected: Expected,
  unpacked: (bytes: number) => void,
  each: (entry: Entry, content: AsyncIterable<Uint8Array>) => Promise<void>,
  scope: Scope,
): Promise<void> {
  const packed = new Meter(() => {})
  const plain = new Meter(unpacked)
  const extract = extractTar()
  const stages = [createReadStream(file), packed, await decompressor(file), plain, extract] as const
  const piped = pipeline(stages)
  piped.catch(() => {})
  const own: unknown[] = []
  try {
    for await (const found of extract) {
      checkScope(scope, 'importing an image')
      try {
        await each(entryOf(found.header), found as AsyncIterable<Uint8Array>)
      } catch (error) {
        own.push(error)
        throw error
      }
      found.resume()
    }
    await piped
  } catch (error) {
    await piped.catch(() => {})
    if (own.length > 0) throw own[0]
    throw damaged(file, error)
  }
  packed.check(file, expected.digest, expected.size)
  plain.check(`what is in ${file}`, expected.content, null)
}

/** Unpacks one archive over what is there. */
export async function applyArchive(
  file: string,
  expected: Expected,
  writer: RootWriter,
  layered: boolean,
  scope: Scope,
): Promise<void> {
  writer.beginLayer()
  const count = (bytes: number) => writer.count(bytes)
  await readArchive(file, expected, count, (entry, content) => writer.put(entry, content, layered), scope)
}

async function decompressor(file: string): Promise<Transform> {
  const handle = await open(file, 'r')
  const head = Buffer.alloc(8)
  try {
    await handle.read(head, 0, head.length, 0)
  } finally {
    await handle.close()
  }
  const kind = MAGIC.find(([, magic]) => head.subarray(0, magic.length).equals(magic))?.[0]
  if (kind === undefined) return new PassThrough()
  if (kind === 'gzip') return createGunzip()
  if (kind === 'zstd') return new Unzstd()
  throw new ThawError('UNSUPPORTED', `${file} is compressed by ${kind}.`, {
    hint: `Unpack it first (unxz, bunzip2), or use gzip or zstd.`,
  })
}

class Unzstd extends Transform {
  readonly #stream = new Decompress((data) => void (data.length > 0 && this.push(Buffer.from(data))))

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#feed(chunk, false, done)
  }

  override _flush(done: TransformCallback): void {
    this.#feed(Buffer.alloc(0), true, done)
  }

  #feed(chunk: Buffer, last: boolean, done: TransformCallback): void {
    try {
      this.#stream.push(chunk, last)
      done()
    } catch (error) {
      done(error as Error)
    }
  }
}

/** Counts and digests what passes through. */
class Meter extends Transform {
  readonly #hash = createHash('sha256')
  readonly #told: (bytes: number) => void
  #size = 0

  constructor(told: (bytes: number) => void) {
    super()
    this.#told = told
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#hash.update(chunk)
    this.#size += chunk.length
    try {
      this.#told(chunk.length)
      done(null, chunk)
    } catch (error) {
      done(error as Error)
    }
  }

  /** @throws ThawError IMAGE_REFUSED */
  check(what: string, digest: string | null, size: number | null): void {
    const found = `sha256:${this.#hash.digest('hex')}`
    if (size !== null && size !== this.#size) {
      throw new ThawError('IMAGE_REFUSED', `${what} has ${this.#size} bytes instead of ${size}.`)
    }
    if (digest === null || digest === found) return
    throw new ThawError('IMAGE_REFUSED', `The digest of ${what} is ${found} instead of ${digest}.`)
  }
}

/** What the library's types leave out. */
type Header = Headers & { pax?: Record<string, string> | null }

function entryOf(header: Header): Entry {
  const { name, type, mode = 0o644, uid = 0, gid = 0, mtime = new Date(0), linkname, size = 0 } = header
  const pax = header.pax ?? {}
  const known = TYPES[type ?? '']
  if (known === undefined || Object.keys(pax).some((key) => key.startsWith('GNU.sparse.'))) {
    throw new ThawError(
      'IMAGE_REFUSED',
      `${name} is of a kind that cannot be unpacked (a sparse file, for one).`,
    )
  }
  const extras = Object.keys(pax)
    .filter((key) => key.startsWith('SCHILY.xattr.'))
    .map((key) => key.slice('SCHILY.xattr.'.length))
  return { name, type: known, mode, uid, gid, mtime, target: linkname ?? '', size, extras }
}

function damaged(file: string, error: unknown): unknown {
  if (error instanceof ThawError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'EACCES') {
    return new ThawError('FILE_UNREADABLE', `${file} cannot be read (${code}).`, { cause: error })
  }
  return new ThawError('IMAGE_REFUSED', `${file} is no whole tar archive (${message}).`, { cause: error })
}
