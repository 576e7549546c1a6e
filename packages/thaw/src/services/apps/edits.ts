/** Edits of an app's files: found, answered by a new program, or known to be unfit. */
import type { CodeFault, ServiceReload } from '@thaw/protocol'
import { Code, type Changes } from '../code.js'

export class Edits {
  readonly #code: Code
  /** Code that did not come up. */
  #unfit: { version: string; fault: CodeFault } | null = null
  #last: ServiceReload | null = null

  constructor(directory: string) {
    this.#code = new Code(directory)
  }

  get files(): string[] {
    return this.#code.files
  }

  /** SHA-256 of what was started, by path. */
  get digests(): Record<string, string> {
    return this.#code.digests
  }

  /** Of what was started; null: it is made of no files. */
  get version(): string | null {
    return this.files.length === 0 ? null : this.#code.version
  }

  /** Why the files as they are do not serve; null: they do. */
  get stale(): CodeFault | null {
    return this.#unfit?.fault ?? null
  }

  /** What was done last. */
  get last(): ServiceReload | null {
    return this.#last
  }

  /** What was started. @param digests SHA-256 by path */
  started(digests: Readonly<Record<string, string>>): void {
    this.#code.loaded(digests)
    this.#unfit = null
  }

  /** What differs from what was started, and is not known to be unfit. */
  news(): Changes | null {
    const changes = this.#code.changes()
    if (changes === null) this.#unfit = null
    return changes?.version === this.#unfit?.version ? null : changes
  }

  /** They did not come up. */
  refuse({ version, sources }: Changes, message: string): void {
    const [file = ''] = sources.keys()
    this.#unfit = { version, fault: { file, line: 0, message } }
  }

  /** Files that were unfit are looked at again. */
  forgive(): void {
    this.#unfit = null
  }

  /** A program of the new code has taken the place of the old. @param begun milliseconds of performance.now() */
  served(begun: number): void {
    this.#last = {
      at: new Date().toISOString(),
      version: this.#code.version,
      how: 'loaded',
      seconds: (performance.now() - begun) / 1000,
      patched: [],
      executed: [],
      removed: [],
    }
  }
}
