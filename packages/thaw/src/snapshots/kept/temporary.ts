/** An instance that nobody but its maker knows of. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { InstanceRequest, type Image } from '@thaw/protocol'
import { Cgroup, type Scope } from '../../system/index.js'
import { newId } from '../ids.js'
import { boot, checkReady, runIn, type Bench, type Source } from '../instances/boot.js'
import { limitsOf, type Body } from '../instances/body.js'
import { Living } from '../instances/living.js'
import { InstanceLog } from '../instances/log.js'

const NOBODY = { record() {}, forget() {} }

export class Temporary implements AsyncDisposable {
  readonly #living: Living
  readonly #logs: string

  private constructor(living: Living, logs: string) {
    this.#living = living
    this.#logs = logs
  }

  /**
   * One that is ready. On failure nothing is left.
   *
   * @param directory in which it may keep a directory of its own
   */
  static async boot(
    bench: Bench,
    image: Image,
    source: Source,
    directory: string,
    scope: Scope,
  ): Promise<Temporary> {
    const id = newId('i')
    const logs = join(directory, id)
    // Its name and ports are nobody's: it is to have no identity that its clones would share.
    const request = InstanceRequest.parse({ image: image.name, ports: [] })
    const { limits } = image
    const limited = limitsOf(image, limits)
    const living = new Living({
      document: {
        id,
        name: 'snapshot',
        image: image.name,
        container: null,
        state: 'creating',
        reason: null,
        boot_method: source.kind,
        from: null,
        boot_reason: null,
        saved_seconds: null,
        network: request.network,
        ports: [],
        pid: null,
        limits,
        notes: [],
        exit: null,
        created_at: new Date().toISOString(),
        ready_at: null,
        ended_at: null,
        expires_at: null,
        boot_seconds: null,
      },
      image,
      container: null,
      request,
      log: new InstanceLog(logs, scope.log),
      cgroup: new Cgroup(id, limited),
      table: NOBODY,
      rootless: bench.rootless,
    })
    const temporary = new Temporary(living, logs)
    try {
      await boot(bench, living, source, scope)
      living.change({ state: 'ready' })
      return temporary
    } catch (error) {
      await temporary[Symbol.asyncDispose]()
      throw error
    }
  }

  get body(): Body {
    return this.#living.running('ready')
  }

  /** Asks once more whether it is ready. */
  async verify(scope: Scope): Promise<void> {
    await checkReady(this.#living, true, scope)
  }

  /** Runs a command beside it. @throws ThawError NOT_READY when that does not end with 0 */
  async run(command: readonly string[], scope: Scope): Promise<void> {
    await runIn(this.#living, command, scope)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#living[Symbol.asyncDispose]()
    rmSync(this.#logs, { recursive: true, force: true })
  }
}
