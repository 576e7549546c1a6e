/** Whole trees of files, in and out of a machine. What comes from there is nobody's word to trust: it is checked here. */
import { createReadStream } from 'node:fs'
import { PassThrough } from 'node:stream'
import { ThawError, within, type Scope } from '../../../system/index.js'
import { GuestRefused, type Guest } from './guest.js'

/** One path, below the root of its tree. Times are nanoseconds. */
export interface TreeEntry {
  /** File, directory, link; `-`: what stands there goes, with all below it. */
  type: 'f' | 'd' | 'l' | '-'
  mode: number
  size: number
  mtime: bigint
  /** Of the inode; only what comes from a machine says it. */
  ctime: bigint
  path: string
  target: string
}

/** Words of an entry in the guest's protocol. */
const WORDS = 7
const LONGEST_WORD = 8192
const HEAD = /^[fdl]\0[0-7]{1,4}\0\d{1,15}\0\d{1,20}\0\d{1,20}$/
const ENOSPC = 28
/** Bytes read at once. */
const PIECE = 1 << 18

/** Everything below a directory. @throws ThawError ENGINE_FAILED; GuestRefused */
export async function listTree(guest: Guest, root: string, scope: Scope): Promise<TreeEntry[]> {
  const found: TreeEntry[] = []
  await read(
    guest,
    ['list', root],
    [],
    scope,
    (entry) => {
      found.push(entry)
      return Promise.resolve()
    },
    false,
  )
  return found
}

/**
 * The content of some paths.
 *
 * @param take called for one after the other; what it leaves of a content is skipped
 * @throws ThawError ENGINE_FAILED and what `take` throws; GuestRefused
 */
export async function readTree(
  guest: Guest,
  root: string,
  paths: readonly string[],
  scope: Scope,
  take: (entry: TreeEntry, content: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  await read(guest, ['pack', root], paths, scope, take, true)
}

/**
 * Puts entries in place, in their order; directories on the way are made.
 *
 * @param source directory of this machine that has their contents
 * @throws ThawError DISK_FULL where the machine's disk is; GuestRefused
 */
export async function writeTree(
  guest: Guest,
  root: string,
  source: string,
  entries: readonly TreeEntry[],
  scope: Scope,
): Promise<void> {
  if (entries.length === 0) return
  const program = await guest.builtin(['unpack', root], { output: () => true }, scope)
  const send = async () => {
    for (const entry of entries) {
      await program.writeStdin(headOf(entry))
      for await (const chunk of contentOf(source, entry)) await program.writeStdin(chunk)
    }
    program.endStdin()
  }
  try {
    await within(scope, 'carrying files into the machine', Promise.race([send(), program.exited]))
  } catch (error) {
    program.signal(9)
    throw error
  }
  const { code } = await within(scope, 'carrying files into the machine', program.exited)
  if (code === ENOSPC)
    throw new ThawError('DISK_FULL', 'The disk of the machine is too small for the project.')
  checkExit('unpack', code)
}

/** @throws ThawError ENGINE_FAILED where the machine is gone; GuestRefused */
function checkExit(what: string, code: number | null): void {
  if (code === null) throw new ThawError('ENGINE_FAILED', 'The machine has ended.')
  if (code !== 0) throw new GuestRefused(what, code)
}

/** Makes a directory, and those above it. @throws GuestRefused */
export async function makeTree(guest: Guest, root: string, scope: Scope): Promise<void> {
  const program = await guest.builtin(['unpack', root], { output: () => true }, scope)
  program.endStdin()
  checkExit('unpack', (await within(scope, `making ${root}`, program.exited)).code)
}

async function read(
  guest: Guest,
  argv: readonly string[],
  input: readonly string[],
  scope: Scope,
  take: (entry: TreeEntry, content: AsyncIterable<Buffer>) => Promise<void>,
  withContent: boolean,
): Promise<void> {
  const stream = new PassThrough()
  const program = await guest.builtin(
    argv,
    { output: (name, bytes) => name === 'stderr' || stream.write(Buffer.from(bytes)) },
    scope,
  )
  stream.on('drain', () => program.resumeOutput())
  const ended = program.exited.then(({ code }) => {
    stream.end()
    return code
  })
  const ask = async () => {
    for (const path of input) await program.writeStdin(Buffer.from(`${path}\0`))
    program.endStdin()
  }
  const asked = ask()
  try {
    const bytes = new Bytes(stream)
    const work = async () => {
      for (let entry = await bytes.entry(); entry !== null; entry = await bytes.entry()) {
        const content = bytes.content(withContent && entry.type === 'f' ? entry.size : 0)
        await take(entry, content)
        for await (const _ of content);
      }
    }
    await within(scope, `reading files of the machine`, work())
    await asked
  } catch (error) {
    program.signal(9)
    stream.destroy()
    throw error
  }
  checkExit(argv[0] ?? '', await ended)
}

/** What a machine says of its files, piece by piece. */
class Bytes {
  readonly #chunks: AsyncIterator<Buffer>
  #kept: Buffer = Buffer.alloc(0)

  constructor(stream: PassThrough) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  }

  /** Null at the end. */
  async entry(): Promise<TreeEntry | null> {
    const words: string[] = []
    while (words.length < WORDS) {
      const end = this.#kept.indexOf(0)
      if (end < 0) {
        if (this.#kept.length > LONGEST_WORD) throw malformed()
        if (await this.#more()) continue
        if (words.length === 0 && this.#kept.length === 0) return null
        throw new ThawError('ENGINE_FAILED', 'The machine ended in the middle of its files.')
      }
      words.push(this.#kept.toString('utf8', 0, end))
      this.#kept = this.#kept.subarray(end + 1)
    }
    const [type = '', mode = '', size = '', mtime = '', ctime = '', path = '', target = ''] = words
    if (!HEAD.test(words.slice(0, 5).join('\0')) || !isBelow(path)) throw malformed()
    return {
      type: type as TreeEntry['type'],
      mode: parseInt(mode, 8),
      size: Number(size),
      mtime: BigInt(mtime),
      ctime: BigInt(ctime),
      path,
      target,
    }
  }

  /** So many bytes; each is handed out once. */
  content(size: number): AsyncIterable<Buffer> {
    let left = size
    const next = async (): Promise<IteratorResult<Buffer>> => {
      if (left === 0) return { done: true, value: undefined }
      while (this.#kept.length === 0) {
        if (!(await this.#more()))
          throw new ThawError('ENGINE_FAILED', 'The machine ended in the middle of a file.')
      }
      const value = this.#kept.subarray(0, left)
      this.#kept = this.#kept.subarray(value.length)
      left -= value.length
      return { done: false, value }
    }
    return { [Symbol.asyncIterator]: () => ({ next }) }
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#chunks.next()
    if (done === true) return false
    this.#kept = this.#kept.length === 0 ? value : Buffer.concat([this.#kept, value])
    return true
  }
}

function headOf({ type, mode, size, mtime, path, target }: TreeEntry): Buffer {
  const words = [type, mode.toString(8), String(type === 'f' ? size : 0), String(mtime), '0', path, target]
  return Buffer.from(words.map((word) => `${word}\0`).join(''))
}

/** As many bytes as were announced, whatever becomes of the file meanwhile. */
async function* contentOf(source: string, { type, size, path }: TreeEntry): AsyncGenerator<Buffer> {
  if (type !== 'f' || size === 0) return
  let left = size
  try {
    for await (const chunk of createReadStream(`${source}/${path}`, {
      end: size - 1,
      highWaterMark: PIECE,
    })) {
      left -= (chunk as Buffer).length
      yield chunk as Buffer
    }
  } catch (error) {
    // It went meanwhile, and differs from what was seen of it.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  for (; left > 0; left -= Math.min(left, PIECE)) yield Buffer.alloc(Math.min(left, PIECE))
}

/** A clean path that stays below its root. */
function isBelow(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function malformed(): ThawError {
  return new ThawError('ENGINE_FAILED', 'The machine said of its files what is no entry.')
}
