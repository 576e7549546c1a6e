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
import { treeOf } from '../../process/inspect.js'
import type { MachineShape } from '../monitor.js'
import { inNamespaces, openWayOut } from '../way-out.js'
import { FD } from './flags.js'
import { Qmp } from './qmp.js'

const SAID = 4000

export class QemuProcess implements AsyncDisposable {
  readonly qmp: Qmp
  readonly channel: Duplex
  /** Of QEMU itself. */
  readonly pid: number
  readonly #child: Child
  readonly #carrier: Child | null
  readonly #said: () => string

  private constructor(child: Child, qmp: Qmp, carrier: Child | null, said: () => string) {
    this.#child = child
    this.#carrier = carrier
    // Below what holds its namespaces.
    this.pid = carrier === null ? child.pid : (treeOf(child.pid).at(-1) ?? child.pid)
    this.qmp = qmp
    this.channel = child.pipe(FD.channel)
    this.#said = said
  }

  /**
   * Starts it; it ends with this process, however that ends.
   *
   * @param argv absolute path of the program, and its words
   * @param network with one it is in namespaces of its own, which have a tap device, and a way out
   * @throws ThawError ENGINE_FAILED with the last of what it said, ENGINE_MISSING, TIMEOUT
   */
  static async start(
    argv: readonly string[],
    network: MachineShape['network'],
    cwd: string,
    scope: Scope,
  ): Promise<QemuProcess> {
    const apart = network === 'none' ? argv : inNamespaces('tap', argv)
    const tied = [nativeProgram('sandbox'), 'tied', String(process.pid), ...apart]
    const stdio = ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] as const
    // Its life is its owner's, not that of the request.
    const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
    const env = network === 'none' ? {} : { PATH: process.env['PATH'] }
    const child = await startProcess(tied, { cwd, env, stdio: [...stdio], grace: 0 }, lasting)
    let said = ''
    const hear = (bytes: Buffer) => (said = (said + bytes.toString('latin1')).slice(-SAID))
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.pipe(FD.channel).on('error', () => {})
    try {
      const qmp = await Qmp.open(child.pipe(FD.qmp), scope)
      const carrier = network === 'none' ? null : await openWayOut(treeOf(child.pid)[1] ?? 0, scope)
      return new QemuProcess(child, qmp, carrier, () => said.trim())
    } catch (error) {
      await child[Symbol.asyncDispose]()
      const known = ThawError.from(error)
      if (known.code !== 'ENGINE_FAILED') throw known
      throw new ThawError('ENGINE_FAILED', `QEMU did not start: ${said.trim() || known.message}`)
    }
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
    await this.#carrier?.[Symbol.asyncDispose]()
  }
}
