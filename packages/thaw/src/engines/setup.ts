/** What engines need of this machine, for `thaw setup` and `thaw doctor`. */
import type { Finding, SetupReport } from '@thaw/protocol'
import { ThawError, type Scope } from '../system/index.js'
import type { Ability } from './engine.js'
import { CriuProvider } from './process/criu/provide.js'
import { ProcessEngine } from './process/process.js'
import { VmToolsProvider } from './vm/tools.js'
import { VmEngine } from './vm/vm.js'

export class EngineSetup {
  readonly #provider: CriuProvider
  readonly #tools: VmToolsProvider

  /** @param cache directory for what can be made again, shared by every THAW_HOME */
  constructor(cache: string) {
    this.#provider = new CriuProvider(cache)
    this.#tools = new VmToolsProvider(cache)
  }

  /** Nothing is fetched for it. */
  async findings(scope: Scope): Promise<Finding[]> {
    return [
      ...inFindings('engine process', await new ProcessEngine(this.#provider).probe()),
      ...inFindings('engine vm', await new VmEngine(this.#tools).probe(scope)),
    ]
  }

  /** @throws ThawError ENGINE_MISSING, SETUP_FAILED */
  async setup(engine: 'process' | 'vm', scope: Scope): Promise<SetupReport> {
    return engine === 'vm' ? await this.#machines(scope) : await this.#processes(scope)
  }

  async #processes(scope: Scope): Promise<SetupReport> {
    const before = await this.#provider.look(scope)
    const criu = await this.#provider.get((what) => scope.log.info(what), scope)
    const { version, source, path } = criu
    return {
      criu: { version, source, path },
      qemu: null,
      fetched: before instanceof ThawError,
      findings: await this.findings(scope),
    }
  }

  async #machines(scope: Scope): Promise<SetupReport> {
    const before = this.#tools.look()
    const { version, release, path } = await this.#tools.get((what) => scope.log.info(what), scope)
    return {
      criu: null,
      qemu: { version, kernel: release, path },
      fetched: before instanceof ThawError,
      findings: await this.findings(scope),
    }
  }
}

function inFindings(engine: string, abilities: readonly Ability[]): Finding[] {
  return abilities.map(({ name, works, reason }) => ({ name: engine, ok: works, detail: name, fix: reason }))
}
