/** Whether the files of a snapshot still are what was written. */
import { createHash } from 'node:crypto'
import { createReadStream, lstatSync, readFileSync, type BigIntStats } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Manifest } from '../../engines/process/image.js'
import { MANIFEST } from '../../engines/sealed.js'
import { checkScope, extentsOf, ThawError, type Scope } from '../../system/index.js'

export type Digests = Record<string, string>

export interface Sizes {
  /** Of pages of memory. */
  memory: number
  /** Of other files that belong to the program. */
  disk: number
  /** What is freed when it is removed; compressed, where that was done. */
  stored: number
}

/** By name: of a program's copy, or of a machine's. */
const PAGES = /^(criu\/pages-\d+\.img|memory)$/
const PROGRAM_FILES = /^((tmp|shm|layers|files)\/|disk$|disk-[1-9])/
/** What a machine was started with. Mostly further names of files that its image and thaw's cache have anyway. */
const STARTED_WITH = /^(disk-0|kernel|initrd)$/
/** Begins the digest of a file with holes, most of which are never read. */
const SPARSE = 'sparse:'
/** A piece of such a file that is all zeros is no different from a hole: copies have holes elsewhere. */
const PIECE = 1 << 16
const ZEROS = Buffer.alloc(PIECE)

/** Reads every file of a directory. */
export async function digestAll(directory: string, scope: Scope): Promise<Digests> {
  const found: Digests = {}
  for (const name of await listFiles(directory, '')) {
    const { size, blocks } = lstatSync(join(directory, name))
    found[name] = await digest(directory, name, size > blocks * 512, scope)
  }
  return found
}

export function measure(directory: string, names: Iterable<string>): Sizes {
  const sizes: Sizes = { memory: 0, disk: 0, stored: 0 }
  for (const name of names) {
    const { size, blocks, nlink } = lstatSync(join(directory, name))
    const there = Math.min(size, blocks * 512)
    if (PAGES.test(name)) sizes.memory += there
    else if (PROGRAM_FILES.test(name)) sizes.disk += there
    if (nlink === 1 || !STARTED_WITH.test(name)) sizes.stored += blocks * 512
  }
  return sizes
}

/** Remembers what was found whole, so that only what was touched since is read again. */
export class Checked {
  /** By path: which file it was, and when that was written last. */
  readonly #seen = new Map<string, string>()

  /** @throws ThawError IMAGE_BROKEN naming the first file that is damaged, missing, or not of it */
  async check(directory: string, digests: Digests, scope: Scope): Promise<void> {
    for (const [name, wanted] of Object.entries(digests)) {
      const path = join(directory, name)
      const before = stateOf(path)
      if (before === null) throw broken(path, 'is missing')
      if (this.#seen.get(path) === before) continue
      if ((await digest(directory, name, wanted.startsWith(SPARSE), scope)) !== wanted)
        throw broken(path, 'is not what was written')
      this.#seen.set(path, before)
    }
  }

  forget(directory: string): void {
    for (const path of this.#seen.keys()) if (path.startsWith(`${directory}/`)) this.#seen.delete(path)
  }
}

function stateOf(path: string): string | null {
  const found: BigIntStats | undefined = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  // Not when it was changed otherwise: each machine that is restored gives the disks of its snapshot another name.
  return found === undefined ? null : `${found.ino} ${found.size} ${found.mtimeNs}`
}

function broken(path: string, what: string): ThawError {
  return new ThawError('IMAGE_BROKEN', `${path} ${what}.`)
}

async function digest(directory: string, name: string, sparse: boolean, scope: Scope): Promise<string> {
  const path = join(directory, name)
  const hash = createHash('sha256')
  try {
    if (sparse) return await digestSparse(path, scope)
    if (name === MANIFEST) return hash.update(withoutPacking(readFileSync(path, 'utf8'))).digest('hex')
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
      checkScope(scope, 'reading a snapshot')
      hash.update(chunk)
    }
  } catch (error) {
    if (error instanceof ThawError) throw error
    throw broken(path, `cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  return hash.digest('hex')
}

/** Of all pieces that are not zeros, with where they lie. */
async function digestSparse(path: string, scope: Scope): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const where = Buffer.alloc(8)
    const tell = (at: number) => {
      where.writeBigUInt64LE(BigInt(at))
      hash.update(where)
    }
    tell(size)
    const buffer = Buffer.alloc(16 * PIECE)
    let next = 0
    for (const { from, to } of extentsOf(file.fd)) {
      for (let at = Math.max(next, from - (from % PIECE)); at < to;) {
        checkScope(scope, 'reading a snapshot')
        const wanted = Math.min(buffer.length, Math.ceil((to - at) / PIECE) * PIECE)
        const { bytesRead } = await file.read(buffer, 0, wanted, at)
        if (bytesRead === 0) break
        for (let begin = 0; begin < bytesRead; begin += PIECE) {
          const piece = buffer.subarray(begin, Math.min(begin + PIECE, bytesRead))
          if (piece.equals(ZEROS.subarray(0, piece.length))) continue
          tell(at + begin)
          hash.update(piece)
        }
        at += bytesRead
        next = at
      }
    }
  } finally {
    await file.close()
  }
  return SPARSE + hash.digest('hex')
}

/** Whether its pages lie in the store is written there too, and changes. */
function withoutPacking(text: string): string {
  try {
    return JSON.stringify({ ...Manifest.parse(JSON.parse(text)), format: 0, packed: null })
  } catch {
    return text
  }
}

async function listFiles(root: string, below: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    const name = join(below, entry.name)
    if (entry.isDirectory()) found.push(...(await listFiles(root, name)))
    else if (entry.isFile()) found.push(name)
  }
  return found
}
