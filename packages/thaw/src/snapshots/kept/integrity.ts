/** Whether the files of a snapshot still are what was written. */
import { createHash } from 'node:crypto'
import { createReadStream, lstatSync, readFileSync, type BigIntStats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Manifest } from '../../engines/process/image.js'
import { MANIFEST } from '../../engines/sealed.js'
import { checkScope, ThawError, type Scope } from '../../system/index.js'

export type Digests = Record<string, string>

export interface Sizes {
  /** Of pages of memory. */
  memory: number
  /** Of other files that belong to the program. */
  disk: number
  /** On disk; compressed, where that was done. */
  stored: number
}

const PAGES = /^criu\/pages-\d+\.img$/
const PROGRAM_FILES = /^(tmp|shm|layers|files)\//

/** Reads every file of a directory. */
export async function digestAll(directory: string, scope: Scope): Promise<Digests> {
  const found: Digests = {}
  for (const name of await listFiles(directory, '')) found[name] = await digest(directory, name, scope)
  return found
}

export function measure(directory: string, names: Iterable<string>): Sizes {
  const sizes: Sizes = { memory: 0, disk: 0, stored: 0 }
  for (const name of names) {
    const { size, blocks } = lstatSync(join(directory, name))
    if (PAGES.test(name)) sizes.memory += size
    else if (PROGRAM_FILES.test(name)) sizes.disk += size
    sizes.stored += blocks * 512
  }
  return sizes
}

/** Remembers what was found whole, so that only what was touched since is read again. */
export class Checked {
  /** By path: when its content or anything else of it was changed last. */
  readonly #seen = new Map<string, string>()

  /** @throws ThawError IMAGE_BROKEN naming the first file that is damaged, missing, or not of it */
  async check(directory: string, digests: Digests, scope: Scope): Promise<void> {
    for (const [name, wanted] of Object.entries(digests)) {
      const path = join(directory, name)
      const before = stateOf(path)
      if (before === null) throw broken(path, 'is missing')
      if (this.#seen.get(path) === before) continue
      if ((await digest(directory, name, scope)) !== wanted) throw broken(path, 'is not what was written')
      this.#seen.set(path, before)
    }
  }

  forget(directory: string): void {
    for (const path of this.#seen.keys()) if (path.startsWith(`${directory}/`)) this.#seen.delete(path)
  }
}

function stateOf(path: string): string | null {
  const found: BigIntStats | undefined = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? null : `${found.ino} ${found.size} ${found.ctimeNs}`
}

function broken(path: string, what: string): ThawError {
  return new ThawError('IMAGE_BROKEN', `${path} ${what}.`)
}

async function digest(directory: string, name: string, scope: Scope): Promise<string> {
  const path = join(directory, name)
  const hash = createHash('sha256')
  try {
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
