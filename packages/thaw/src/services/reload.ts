/** New code for a service that serves: looked for, put in place, or known to be unfit. */
import type { CodeFault, ServiceReload } from '@thaw/protocol'
import { ThawError, type Scope } from '../system/index.js'
import type { Calls } from './calls.js'
import type { Changes } from './code.js'
import type { Host } from './host.js'
import type { Life } from './life.js'

/** So long new code waits for calls that run. Milliseconds. */
export const RELOAD_PATIENCE = 1000

interface Unfit extends CodeFault {
  sources: ReadonlyMap<string, Buffer>
  /** Of which load: another one has begun with what the files held then. */
  load: number
}

export class Reload {
  readonly #life: Life
  readonly #calls: Calls
  #known: Unfit | null = null
  #last: ServiceReload | null = null

  constructor(life: Life, calls: Calls) {
    this.#life = life
    this.#calls = calls
  }

  /** What was done last. */
  get last(): ServiceReload | null {
    return this.#last
  }

  get #unfit(): Unfit | null {
    return this.#known?.load === this.#life.loads ? this.#known : null
  }

  /** Why the files as they are do not serve; null: they do. */
  get stale(): CodeFault | null {
    if (this.#unfit === null) return null
    const { file, line, message } = this.#unfit
    return { file, line, message }
  }

  /** As an error for who deploys. */
  get fault(): ThawError | null {
    const stale = this.stale
    if (stale === null) return null
    const { file, line, message } = stale
    return new ThawError('SYNTAX_ERROR', `${message} The code before it serves on.`, {
      details: { file, line },
    })
  }

  /** Files that were unfit are looked at again. */
  forgive(): void {
    this.#known = null
  }

  /** What of the files is not what serves, and not known to be unfit. */
  news(): Changes | null {
    const changes = this.#life.code.changes()
    if (changes === null || this.#unfit === null) {
      if (changes === null) this.#known = null
      return changes
    }
    const { sources } = this.#unfit
    const isSame = [...changes.sources].every(
      ([path, content]) => sources.get(path)?.equals(content) === true,
    )
    return isSame && sources.size === changes.sources.size ? null : changes
  }

  /**
   * New code in place of the old, where files have changed. What does not fit is remembered, and the old serves.
   *
   * @param renamed whether other names are called than were
   */
  async sync(scope: Scope, renamed: boolean): Promise<void> {
    const { host, version, request } = this.#life
    const changes = this.news()
    if (host === null || (changes === null && !renamed)) return
    await this.#calls.quiet(RELOAD_PATIENCE)
    const begun = performance.now()
    const sources = changes?.sources ?? new Map<string, Buffer>()
    try {
      if (changes !== null && request.compute.reload === 'exact') {
        return await this.#exactly(host, sources, begun, scope)
      }
      const { callables } = request.source
      const told = await host.patch(sources, { version: changes?.version ?? version, callables }, scope)
      changes?.settle()
      this.#known = null
      this.#life.know(told.files, told.callables)
      await this.#calls.refresh()
      if (changes !== null) this.#tell('patched', begun, told.report)
    } catch (error) {
      if (!(error instanceof ThawError) || !['SYNTAX_ERROR', 'RELOAD_FAILED'].includes(error.code))
        throw error
      const { file = '', line = 0 } = (error.details ?? {}) as { file?: string; line?: number }
      this.#known = { file, line, message: error.message, sources, load: this.#life.loads }
    }
  }

  /** The state becomes that of a load of the new code. */
  async #exactly(
    host: Host,
    sources: ReadonlyMap<string, Buffer>,
    begun: number,
    scope: Scope,
  ): Promise<void> {
    await this.#calls.refresh()
    const isRestored = await this.#life.rewind(host, sources, scope)
    this.#known = null
    this.#tell(isRestored ? 'restored' : 'loaded', begun, { patched: [], executed: [], removed: [] })
  }

  #tell(
    how: ServiceReload['how'],
    begun: number,
    report: Pick<ServiceReload, 'patched' | 'executed' | 'removed'>,
  ): void {
    const seconds = (performance.now() - begun) / 1000
    this.#last = { at: new Date().toISOString(), version: this.#life.version, how, seconds, ...report }
  }
}
