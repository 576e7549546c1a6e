/**
 * A pack: many pages in one file that is never changed. Format: docs/process-images.md.
 *
 * Neighbouring pages are compressed together (a frame): programs lay out their memory so that neighbours are alike.
 */
import { createHash, hash, randomBytes } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { ThawError } from '../system/error.js'
import { compress, decompress } from './zstd.js'

/** Bytes of a page. */
export const PAGE = 4096
/** Bytes of a page's name. */
export const NAME = 16
/** Pages of one pack at most. */
export const PACK_PAGES = 4096
const FRAME_PAGES = 32
const MAGIC = Buffer.from('thawpak1')
/** Digest of what is before it in the footer, number of pages, magic. */
const TAIL = NAME + 4 + MAGIC.length

/** The name of a page is that of its content: the first half of its SHA-256. */
export function pageName(page: Uint8Array): Buffer {
  return hash('sha256', page, 'buffer').subarray(0, NAME)
}

/** Collects pages, and brings them to disk as one pack. Prerequisite: `loadZstd` has resolved. */
export class PackWriter {
  readonly #file: string
  readonly #temporary: string
  readonly #fd: number
  readonly #names: Buffer[] = []
  readonly #ends: number[] = []
  #frame: Uint8Array[] = []
  #size = 0
  #closed = false

  constructor(file: string) {
    this.#file = file
    this.#temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
    this.#fd = openSync(this.#temporary, 'wx', 0o600)
  }

  get pages(): number {
    return this.#names.length
  }

  /** @param page copied */
  add(name: Uint8Array, page: Uint8Array): void {
    this.#names.push(Buffer.from(name))
    this.#frame.push(Buffer.from(page))
    if (this.#frame.length === FRAME_PAGES) this.#endFrame()
  }

  /** The pack is on disk under its name, whole, when this returns. Returns its size. */
  seal(): number {
    if (this.#frame.length > 0) this.#endFrame()
    const ends = Buffer.from(new Uint32Array(this.#ends).buffer)
    const body = Buffer.concat([...this.#names, ends])
    const count = Buffer.alloc(4)
    count.writeUInt32LE(this.#names.length)
    this.#write(Buffer.concat([body, digest(body), count, MAGIC]))
    fsyncSync(this.#fd)
    this.#close()
    renameSync(this.#temporary, this.#file)
    syncDirectory(dirname(this.#file))
    return this.#size
  }

  /** After a failure: nothing is left. */
  drop(): void {
    this.#close()
    rmSync(this.#temporary, { force: true })
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#fd)
  }

  #endFrame(): void {
    this.#write(compress(Buffer.concat(this.#frame)))
    this.#ends.push(this.#size)
    this.#frame = []
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at)
    this.#size += bytes.length
  }
}

/** Reads pages of one pack. */
export class PackReader implements Disposable {
  readonly names: Buffer
  readonly size: number
  readonly #fd: number
  readonly #ends: Uint32Array
  #frame = -1
  #content: Uint8Array = Buffer.alloc(0)

  /** @throws ThawError IMAGE_BROKEN, or what the file system said */
  constructor(file: string) {
    this.#fd = openSync(file, 'r')
    try {
      this.size = fstatSync(this.#fd).size
      const tail = this.#read(this.size - TAIL, TAIL)
      const pages = tail.readUInt32LE(NAME)
      const length = pages * NAME + Math.ceil(pages / FRAME_PAGES) * 4
      if (!tail.subarray(NAME + 4).equals(MAGIC) || pages > PACK_PAGES) throw broken()
      const body = this.#read(this.size - TAIL - length, length)
      if (!digest(body).equals(tail.subarray(0, NAME))) throw broken()
      this.names = body.subarray(0, pages * NAME)
      // Copied: where the part of a buffer begins, need not suit numbers of 32 bits.
      this.#ends = new Uint32Array(Uint8Array.from(body.subarray(pages * NAME)).buffer)
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  /** The page at a place of the pack; valid until the next call. @throws ThawError IMAGE_BROKEN */
  page(slot: number): Uint8Array {
    const frame = Math.floor(slot / FRAME_PAGES)
    if (frame !== this.#frame) {
      const from = frame === 0 ? 0 : (this.#ends[frame - 1] as number)
      const bytes = this.#read(from, (this.#ends[frame] as number) - from)
      this.#content = decompress(bytes, FRAME_PAGES * PAGE)
      this.#frame = frame
    }
    const at = (slot % FRAME_PAGES) * PAGE
    return this.#content.subarray(at, at + PAGE)
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(Math.max(0, length))
    if (at < 0) throw broken()
    for (let done = 0; done < length;) {
      const size = readSync(this.#fd, bytes, done, length - done, at + done)
      if (size === 0) throw broken()
      done += size
    }
    return bytes
  }
}

export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, NAME)
}

function broken(): ThawError {
  return new ThawError('IMAGE_BROKEN', 'A pack of pages is not whole.')
}
