/** The files that a service has loaded: whether they are still what they were, and which version of the code they are. */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { relative } from 'node:path'

interface Known {
  sha: string
  /** How the file looked when it held that; null: not known for sure. */
  stamp: string | null
}

/** A file may be written again within the resolution of its times. Nanoseconds. */
const SETTLED = 50_000_000n

export interface Changes {
  /** What the changed files hold now, by path. */
  sources: Map<string, Buffer>
  version: string
  /** To be called when this is what serves. */
  settle(): void
}

export class Code {
  readonly #root: string
  #files = new Map<string, Known>()

  constructor(root: string) {
    this.#root = root
  }

  get files(): string[] {
    return [...this.#files.keys()].sort()
  }

  /** SHA-256 of what was loaded, by path. */
  get digests(): Record<string, string> {
    return Object.fromEntries([...this.#files].map(([path, { sha }]) => [path, sha]))
  }

  get version(): string {
    return versionOf(this.#root, new Map(Object.entries(this.digests)))
  }

  /** @param files SHA-256 of what was loaded, by path */
  loaded(files: Readonly<Record<string, string>>): void {
    this.#files = new Map(
      Object.entries(files).map(([path, sha]) => {
        const known = this.#files.get(path)
        return [path, known !== undefined && known.sha === sha ? known : { sha, stamp: null }]
      }),
    )
  }

  /** What has changed; null: nothing. A file that is gone is as it was: what was loaded from it is there. */
  changes(): Changes | null {
    const sources = new Map<string, Buffer>()
    const now = new Map<string, Known>()
    for (const [path, known] of this.#files) {
      const stamp = stampOf(path)
      if (stamp === null || (stamp.text === known.stamp && known.stamp !== null)) continue
      let content
      try {
        content = readFileSync(path)
      } catch {
        continue
      }
      const sha = createHash('sha256').update(content).digest('hex')
      const after = stampOf(path)
      const isSettled = after?.text === stamp.text && stamp.age > SETTLED
      const seen = { sha, stamp: isSettled ? stamp.text : null }
      if (sha === known.sha) {
        this.#files.set(path, seen)
        continue
      }
      sources.set(path, content)
      now.set(path, seen)
    }
    if (sources.size === 0) return null
    const all = new Map([...this.#files, ...now])
    return {
      sources,
      version: versionOf(this.#root, new Map([...all].map(([path, { sha }]) => [path, sha]))),
      settle: () => {
        for (const [path, known] of now) this.#files.set(path, known)
      },
    }
  }
}

function versionOf(root: string, shas: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256')
  for (const path of [...shas.keys()].sort()) hash.update(`${relative(root, path)}\0${shas.get(path)}\n`)
  return hash.digest('hex').slice(0, 12)
}

function stampOf(path: string): { text: string; age: bigint } | null {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (stat === undefined) return null
  const { mtimeNs, ctimeNs, size, ino } = stat
  return { text: `${mtimeNs}:${ctimeNs}:${size}:${ino}`, age: BigInt(Date.now()) * 1_000_000n - ctimeNs }
}
