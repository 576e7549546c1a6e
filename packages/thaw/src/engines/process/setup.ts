/** What the process engine needs of this machine, for `thaw setup` and `thaw doctor`. */
import type { Finding, SetupReport } from '@thaw/protocol'
import { ThawError, type Scope } from '../../system/index.js'
import { CriuProvider } from './criu/provide.js'
import { ProcessEngine } from './process.js'

export class EngineSetup {
  readonly #provider: CriuProvider

  /** @param cache directory for what can be made again, shared by every THAW_HOME */
  constructor(cache: string) {
    this.#provider = new CriuProvider(cache)
  }

  async findings(_scope: Scope): Promise<Finding[]> {
    const abilities = await new ProcessEngine(this.#provider).probe()
    return abilities.map(({ name, works, reason }) => ({
      name: 'engine process',
      ok: works,
      detail: name,
      fix: reason,
    }))
  }

  /** @throws ThawError ENGINE_MISSING, SETUP_FAILED */
  async setup(scope: Scope): Promise<SetupReport> {
    const before = await this.#provider.look(scope)
    const criu = await this.#provider.get((what) => scope.log.info(what), scope)
    const { version, source, path } = criu
    return {
      criu: { version, source, path },
      fetched: before instanceof ThawError,
      findings: await this.findings(scope),
    }
  }
}
