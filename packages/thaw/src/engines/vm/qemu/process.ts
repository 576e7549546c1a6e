/** One QEMU, from its start to its end. */
import type { Duplex } from 'node:stream'
import {
  nativeProgram,
  startProcess,
  ThawError,
  type Child,
  type Exit,
  type Scope,
} from '../../../system/index.js'
import { FD } from './flags.js'
import { Qmp } from './qmp.js'

const SAID = 4000

export class QemuProcess implements AsyncDisposable {
  readonly qmp: Qmp
  readonly channel: Duplex
  readonly #child: Child
  readonly #said: () => string

  private constructor(child: Child, qmp: Qmp, said: () => string) {
    this.#child = child
    this.qmp = qmp
    this.channel = child.pipe(FD.channel)
    this.#said = said
  }

  /**
   * Starts it; it ends with this process, however that ends.
   *
   * @param argv absolute path of the program, and its words
   * @throws ThawError ENGINE_FAILED with the last of what it said, TIMEOUT
   */
  static async start(argv: readonly string[], cwd: string, scope: Scope): Promise<QemuProcess> {
    const tied = [nativeProgram('sandbox'), 'tied', String(process.pid), ...argv]
    const stdio = ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] as const
    // Its life is its owner's, not that of the request.
    const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
    const child = await startProcess(tied, { cwd, env: {}, stdio: [...stdio], grace: 0 }, lasting)
    let said = ''
    const hear = (bytes: Buffer) => (said = (said + bytes.toString('latin1')).slice(-SAID))
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.pipe(FD.channel).on('error', () => {})
    try {
      const qmp = await Qmp.open(child.pipe(FD.qmp), scope)
      return new QemuProcess(child, qmp, () => said.trim())
    } catch (error) {
      await child[Symbol.asyncDispose]()
      const known = ThawError.from(error)
      if (known.code !== 'ENGINE_FAILED') throw known
      throw new ThawError('ENGINE_FAILED', `QEMU did not start: ${said.trim() || known.message}`)
    }
  }

  get pid(): number {
    return this.#child.pid
  }

  get exited(): Promise<Exit> {
    return this.#child.exited
  }

  said(): string {
    return this.#said()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.signal('SIGKILL')
    await this.#child[Symbol.asyncDispose]()
  }
}
