/** Code that clients on other machines have sent: one private directory for each service and each place that it is from. */
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { MOST_BYTES, type CodeFile, type CodeManifest, type CodeState } from '@thaw/protocol'
import { preparePrivate, removeTree, ThawError } from '../system/index.js'

/** What was sent and never deployed is kept so long. Milliseconds. */
const UNUSED = 3600_000

export class Uploads {
  readonly #directory: string

  constructor(directory: string) {
    preparePrivate(directory)
    this.#directory = directory
  }

  /**
   * Compares what a client has with what is here; where nothing is missing, `apply` is handed the work that makes the directory hold
   * exactly that.
   *
   * @throws ThawError PAYLOAD_TOO_LARGE, DISK_FULL
   */
  async put(
    name: string,
    { origin, files }: CodeManifest,
    apply: (root: string, work: () => void) => Promise<void>,
  ): Promise<CodeState> {
    const bytes = files.reduce((sum, one) => sum + one.bytes, 0)
    if (bytes > MOST_BYTES) throw tooLarge(bytes)
    const key = createHash('sha256').update(origin).digest('hex').slice(0, 12)
    const root = join(this.#directory, name, key, 'tree')
    const placed = join(root, '..', 'placed.json')
    const there = digestsOf(root, placedIn(placed))
    const sent = this.#sent(name)
    const known = new Map([...there].map(([path, sha]) => [sha, join(root, path)]))
    for (const sha of namesIn(sent)) known.set(sha, join(sent, sha))
    const missing = [...new Set(files.map(({ sha256 }) => sha256))].filter((sha) => !known.has(sha))
    if (missing.length > 0) return { root, missing }
    const isSame =
      there.size === files.length && files.every(({ path, sha256 }) => there.get(path) === sha256)
    const note = (paths: Iterable<string>) => write(placed, Buffer.from(JSON.stringify([...paths])))
    const work = () => {
      mkdirSync(root, { recursive: true, mode: 0o700 })
      const paths = files.map(({ path }) => path)
      // Whatever becomes of this, what was placed is known.
      note(new Set([...there.keys(), ...paths]))
      place(root, there, files, known)
      note(paths)
      write(join(root, '..', 'origin'), Buffer.from(origin))
    }
    if (!isSame || files.length === 0) await apply(root, () => inSpace(work))
    removeTree(sent)
    return { root, missing: [] }
  }

  /** Keeps a content that is missing. @throws ThawError INVALID_REQUEST, PAYLOAD_TOO_LARGE, DISK_FULL */
  receive(name: string, sha256: string, content: Uint8Array): void {
    const digest = createHash('sha256').update(content).digest('hex')
    if (digest !== sha256) {
      throw new ThawError('INVALID_REQUEST', `What arrived has the SHA-256 ${digest}, not ${sha256}.`)
    }
    const sent = this.#sent(name)
    inSpace(() => {
      mkdirSync(sent, { recursive: true, mode: 0o700 })
      let bytes = content.length
      for (const one of namesIn(sent)) bytes += lstatSync(join(sent, one)).size
      if (bytes > MOST_BYTES) throw tooLarge(bytes)
      write(join(sent, sha256), content)
    })
  }

  /** Where a file that was sent is from; else the file itself. */
  originOf(file: string): string {
    if (!file.startsWith(this.#directory + sep)) return file
    const [name = '', key = '', , ...path] = file.slice(this.#directory.length + 1).split(sep)
    try {
      return join(readFileSync(join(this.#directory, name, key, 'origin'), 'utf8'), ...path)
    } catch {
      return file
    }
  }

  /** Everything that was sent for a service, but for the directory of one file. */
  remove(name: string, except: string | null = null): void {
    const own = join(this.#directory, name)
    for (const key of namesIn(own)) {
      if (except?.startsWith(join(own, key) + sep) !== true) removeTree(join(own, key))
    }
    if (namesIn(own).length === 0) removeTree(own)
  }

  /** Removes what was sent for names that are in no use. @param old whether only what has been so for a while */
  prune(isUsed: (name: string) => boolean, old: boolean): void {
    for (const name of namesIn(this.#directory)) {
      if (isUsed(name)) continue
      const { mtimeMs } = lstatSync(join(this.#directory, name))
      if (!old || Date.now() - mtimeMs > UNUSED) removeTree(join(this.#directory, name))
    }
  }

  #sent(name: string): string {
    return join(this.#directory, name, 'sent')
  }
}

/** What is there may be half of two edits until this ends. */
function place(
  root: string,
  there: ReadonlyMap<string, string>,
  files: readonly CodeFile[],
  known: ReadonlyMap<string, string>,
): void {
  const wanted = new Map(files.map(({ path, sha256 }) => [path, sha256]))
  const changed = files.filter(({ path, sha256 }) => there.get(path) !== sha256)
  // Read before any of it is replaced: what one file was may be what another is to be.
  const contents = new Map(changed.map(({ sha256 }) => [sha256, readFileSync(known.get(sha256) as string)]))
  for (const path of there.keys()) if (!wanted.has(path)) rmSync(join(root, path), { force: true })
  for (const { path, sha256 } of changed) {
    makeParents(root, path)
    const file = join(root, path)
    if (lstatSync(file, { throwIfNoEntry: false })?.isDirectory() === true) removeTree(file)
    write(file, contents.get(sha256) as Buffer)
  }
}

/** No link of the service's own making leads out of its directory. */
function makeParents(root: string, path: string): void {
  mkdirSync(root, { recursive: true, mode: 0o700 })
  let at = root
  for (const part of path.split('/').slice(0, -1)) {
    at = join(at, part)
    const found = lstatSync(at, { throwIfNoEntry: false })
    if (found?.isDirectory() === true) continue
    if (found !== undefined) rmSync(at)
    mkdirSync(at, { mode: 0o700 })
  }
}

function write(file: string, content: Uint8Array): void {
  const temp = join(dirname(file), `.${process.pid}.thaw-new`)
  try {
    const fd = openSync(temp, 'w', 0o600)
    try {
      for (let at = 0; at < content.length;) at += writeSync(fd, content, at)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temp, file)
  } finally {
    rmSync(temp, { force: true })
  }
}

/** SHA-256 of those that are there. Other files are the service's own. */
function digestsOf(root: string, paths: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const path of paths) {
    if (lstatSync(join(root, path), { throwIfNoEntry: false })?.isFile() !== true) continue
    found.set(
      path,
      createHash('sha256')
        .update(readFileSync(join(root, path)))
        .digest('hex'),
    )
  }
  return found
}

function placedIn(file: string): string[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as string[]) : []
}

function tooLarge(bytes: number): ThawError {
  return new ThawError('PAYLOAD_TOO_LARGE', `The code has ${bytes} bytes; ${MOST_BYTES} are the most.`, {
    hint: 'Leave out what is no code by a .thawignore.',
  })
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : []
}

function inSpace(work: () => void): void {
  try {
    work()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error
    throw new ThawError('DISK_FULL', 'The disk is full; send the code again.', { cause: error })
  }
}
