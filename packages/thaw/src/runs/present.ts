/** The world as it is now, each thing looked at once a plan. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ReadSignature, StatSignature } from '@thaw/protocol/agent'
import {
  type ContentHashes,
  diskState,
  listDigest,
  namesIn,
  readSignatureOf,
  sameRead,
  linkSignatureOf,
  sameStat,
  statSignatureOf,
} from '../files/signature.js'
import type { Scope } from '../system/index.js'
import { askQuery, queryKey } from './query.js'

/** What a plan asks about files, environment and modules. */
export interface Present {
  /** Hex sha1 of a source's bytes; null: not there. */
  source(file: string): string | null
  sameRead(path: string, seen: ReadSignature): boolean
  sameStat(path: string, seen: StatSignature): boolean
  sameLink(path: string, seen: StatSignature): boolean
  list(directory: string): string | null
  /** Names that an import could find in a directory outside of the project. */
  names(directory: string): ReadonlySet<string>
  disk(path: string): string | null
  env(name: string): string | null
  /** Digest of what a command answers; null when it cannot be asked. */
  query(argv: string[], cwd: string): Promise<string | null>
  /** Whether nobody but the program itself can have changed a path: in a root file system of its own. */
  own(path: string): boolean
  /** Modules of the project: path and name. */
  modules: ReadonlyMap<string, string>
}

function memo<V>(look: (key: string) => V): (key: string) => V {
  const seen = new Map<string, V>()
  return (key) => {
    if (!seen.has(key)) seen.set(key, look(key))
    return seen.get(key) as V
  }
}

/** Digest of a whole environment, as the agent reports it. */
function environmentDigest(env: Record<string, string>): string {
  const lines = Object.entries(env).map(([name, value]) => Buffer.from(`${name}=${value}`))
  lines.sort(Buffer.compare)
  const hash = createHash('sha1')
  lines.forEach((line, i) => {
    if (i > 0) hash.update('\0')
    hash.update(line)
  })
  return hash.digest('hex')
}

/** Digests of sources, read again only when they look different. */
export class SourceHashes {
  readonly #known = new Map<string, { sig: string; hash: string }>()

  of(file: string): string | null {
    const sig = readSignatureOf(file)?.join(':')
    if (sig === undefined) return null
    const known = this.#known.get(file)
    if (known?.sig === sig) return known.hash
    try {
      const hash = createHash('sha1').update(readFileSync(file)).digest('hex')
      // A file written twice within the clock's grain looks the same both times: do not trust it yet.
      const mtime = Number(sig.split(':')[1]) / 1e6
      if (mtime < Date.now() - 100) this.#known.set(file, { sig, hash })
      return hash
    } catch {
      return null
    }
  }
}

export function lookNow(
  env: Record<string, string>,
  modules: ReadonlyMap<string, string>,
  sources: SourceHashes,
  contents: ContentHashes,
  scope: Scope,
  own: Present['own'] = () => false,
): Present {
  const answers = new Map<string, Promise<string | null>>()
  const read = memo(readSignatureOf)
  const stat = memo(statSignatureOf)
  const link = memo(linkSignatureOf)
  return {
    source: memo((file) => sources.of(file)),
    sameRead: (path, seen) => {
      const now = read(path)
      if (sameRead(now, seen)) return true
      if (now === null || seen === null || now[0] !== seen[0]) return false
      const then = contents.hash(path, seen)
      return then !== null && contents.hash(path, now) === then
    },
    sameStat: (path, seen) => sameStat(stat(path), seen),
    sameLink: (path, seen) => sameStat(link(path), seen),
    list: memo(listDigest),
    names: memo((directory) => new Set(namesIn(directory))),
    disk: memo(diskState),
    env: (name) => (name === '*' ? environmentDigest(env) : (env[name] ?? null)),
    query: (argv, cwd) => {
      const key = queryKey(argv, cwd)
      const answer = answers.get(key) ?? askQuery(argv, cwd, env, scope)
      answers.set(key, answer)
      return answer
    },
    own,
    modules,
  }
}
