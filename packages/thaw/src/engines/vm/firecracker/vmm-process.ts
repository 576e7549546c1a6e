/** One Firecracker process: its namespaces, its socket, its end. */
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import {
  nativeProgram,
  startProcess,
  ThawError,
  withTimeout,
  within,
  type Child,
  type Exit,
  type Scope,
} from '../../../system/index.js'
import { treeOf } from '../../process/inspect.js'
import { FirecrackerApi } from './api.js'
import { inNamespaces } from '../way-out.js'

/** Names in a machine's directory, as Firecracker sees them too: it works in that directory. */
export const SOCKET = { api: 'api.sock', guest: 'agent.sock' } as const

const START_TIMEOUT = 10_000
const BETWEEN = 5
/** Characters of what the process prints (its log and the guest's console) that are kept for errors. */
const TAIL = 4000
/** Milliseconds in which a process that breaks off a connection ends. */
const ENDING = 500

export interface VmmSpec {
  /** Of Firecracker. */
  binary: string
  /** Of the machine; letters, digits and dashes, at most 64. */
  id: string
  /** It works there; nobody else does. */
  directory: string
  network: 'none' | 'tap'
}

/** Prerequisite of everything but `exited` and disposal: it has not ended. */
export class VmmProcess implements AsyncDisposable {
  readonly api: FirecrackerApi
  readonly #child: Child
  readonly #directory: string
  readonly #handle: number
  #said = ''

  private constructor(child: Child, directory: string) {
    this.#child = child
    this.#directory = directory
    this.#handle = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
    this.api = new FirecrackerApi(this.#path(SOCKET.api), () => this.#ending())
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (part: Buffer) => (this.#said = (this.#said + part.toString('latin1')).slice(-TAIL)))
    }
  }

  /**
   * - Prerequisites: the directory is there, and empty of sockets.
   * - On success: Firecracker answers on its API; no machine is configured. It ends with the scope of its owner, which
   *   is whoever disposes it, and with the daemon, however that ends.
   * - On failure: ENGINE_MISSING when there is nothing to start, ENGINE_FAILED with the last lines it printed,
   *   TIMEOUT when its socket did not appear; nothing is left.
   */
  static async start(spec: VmmSpec, scope: Scope): Promise<VmmProcess> {
    // Its life is its owner's, not that of the request.
    const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
    const child = await startProcess(
      vmmCommand(spec),
      {
        cwd: spec.directory,
        env: { PATH: process.env['PATH'] },
        stdio: ['ignore', 'pipe', 'pipe'],
        grace: 500,
      },
      lasting,
    )
    const vmm = new VmmProcess(child, spec.directory)
    try {
      await vmm.#listens(withTimeout(scope, START_TIMEOUT))
      return vmm
    } catch (error) {
      await vmm[Symbol.asyncDispose]()
      throw error
    }
  }

  get pid(): number {
    return this.#child.pid
  }

  /** PID 1 of its namespaces, as seen from here. */
  get init(): number {
    return treeOf(this.pid)[1] ?? this.pid
  }

  get exited(): Promise<Exit> {
    return this.#child.exited
  }

  /** Where the guest's ports are reached, once the machine has a vsock device. */
  get guestSocket(): string {
    return this.#path(SOCKET.guest)
  }

  /** The last lines of its log and of the guest's console. */
  get said(): string {
    return this.#said.trimEnd()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.end()
    closeSync(this.#handle)
    for (const name of Object.values(SOCKET)) rmSync(join(this.#directory, name), { force: true })
  }

  /** Short whatever the directory's own path is: the kernel takes 107 bytes for a socket. */
  #path(name: string): string {
    return `/proc/self/fd/${this.#handle}/${name}`
  }

  async #listens(scope: Scope): Promise<void> {
    let ended = false
    void this.exited.then(() => (ended = true))
    for (;;) {
      if (ended) throw new ThawError('ENGINE_FAILED', `Firecracker did not start: ${await this.#ending()}`)
      if (await answers(this.#path(SOCKET.api))) return
      const pause = new Promise<void>((resolve) => setTimeout(resolve, BETWEEN))
      await within(scope, 'waiting for the socket of Firecracker', pause)
    }
  }

  async #ending(): Promise<string | null> {
    const time = new Promise<null>((resolve) => setTimeout(resolve, ENDING, null).unref())
    const exit = await Promise.race([this.exited, time])
    if (exit === null) return null
    const how = exit.signal === null ? `exit code ${exit.code}` : exit.signal
    const last = this.said.split('\n').slice(-5).join('\n')
    return `it ended (${how})${last === '' ? ', having printed nothing.' : `. Its last words:\n${last}`}`
  }
}

/** Command line of a Firecracker below which nothing outlives the daemon. */
export function vmmCommand({ binary, id, network }: VmmSpec): string[] {
  const tied = [nativeProgram('sandbox'), 'tied', String(process.pid)]
  return [...tied, ...inNamespaces(network, [binary, '--id', id, '--api-sock', SOCKET.api])]
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = connect(socket)
    stream.once('connect', () => {
      stream.destroy()
      resolve(true)
    })
    stream.once('error', () => resolve(false))
  })
}
