import {
  ExecResult,
  Instance,
  InstanceCheckpoint,
  InstanceCheckpointList,
  InstanceList,
  InstanceStats,
  type ExecRequestInput,
  type ForkRequestInput,
  type InstanceRequestInput,
} from '@thaw/protocol'
import { z } from 'zod'
import { at, query, type Call } from './call.js'
import { Terminal, type TerminalOptions } from './terminal.js'
import type { Transport } from './transport.js'

export class InstancesClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  /**
   * Starts an instance, and returns once it is ready; aborting `signal` undoes it.
   *
   * @param options.wait false: at once, with the state `creating`
   * @throws ThawError IMAGE_NOT_FOUND, NAME_TAKEN, NOT_READY
   */
  create(
    request: InstanceRequestInput,
    options: { wait?: boolean; signal?: AbortSignal } = {},
  ): Promise<Instance> {
    const { wait = true, signal } = options
    const headers: Record<string, string> = wait ? {} : { prefer: 'respond-async' }
    const how = { body: request, headers, ...(signal === undefined ? {} : { signal }) }
    return this.#call('POST', '/v1/instances', Instance, how)
  }

  /** Newest first. */
  async list(): Promise<Instance[]> {
    return (await this.#call('GET', '/v1/instances', InstanceList)).instances
  }

  get(id: string): Promise<Instance> {
    return this.#call('GET', `/v1/instances/${at(id)}`, Instance)
  }

  /** Runs a command in it, to its end. */
  exec(
    id: string,
    request: Pick<ExecRequestInput, 'command' | 'env' | 'cwd' | 'user'> & { input?: string | null },
    options: { signal?: AbortSignal } = {},
  ): Promise<ExecResult> {
    return this.#call('POST', `/v1/instances/${at(id)}/exec`, ExecResult, { body: request, ...options })
  }

  /**
   * A program of its own in it, with a terminal; as long as it is open, the instance counts as used.
   *
   * @throws ThawError INSTANCE_NOT_FOUND, UNSUPPORTED; what comes of the command is told by `exited`
   */
  async terminal(id: string, options: TerminalOptions): Promise<Terminal> {
    const connection = await this.#transport.connect(`/v1/instances/${at(id)}/exec/stream`)
    return new Terminal(connection, options)
  }

  /** What it has printed. @param how.follow go on until it ends */
  logs(
    id: string,
    how: {
      stream?: 'stdout' | 'stderr' | 'both'
      follow?: boolean
      tail?: number
      signal?: AbortSignal
    } = {},
  ): AsyncIterable<Uint8Array> {
    const { signal, ...asked } = how
    const path = `/v1/instances/${at(id)}/logs${query(asked)}`
    return this.#transport.bytes(path, signal === undefined ? {} : { signal })
  }

  stats(id: string): Promise<InstanceStats> {
    return this.#call('GET', `/v1/instances/${at(id)}/stats`, InstanceStats)
  }

  pause(id: string): Promise<Instance> {
    return this.#call('POST', `/v1/instances/${at(id)}/pause`, Instance)
  }

  resume(id: string): Promise<Instance> {
    return this.#call('POST', `/v1/instances/${at(id)}/resume`, Instance)
  }

  stop(id: string, how: { signal?: string; grace?: number | string } = {}): Promise<Instance> {
    return this.#call('POST', `/v1/instances/${at(id)}/stop`, Instance, { body: how })
  }

  remove(id: string, how: { force?: boolean; cascade?: boolean } = {}): Promise<Instance> {
    return this.#call('DELETE', `/v1/instances/${at(id)}${query(how)}`, Instance)
  }

  /** Of one instance, newest first. */
  async checkpoints(id: string): Promise<InstanceCheckpoint[]> {
    return (await this.#call('GET', `/v1/instances/${at(id)}/checkpoints`, InstanceCheckpointList))
      .checkpoints
  }

  checkpoint(
    id: string,
    how: { name?: string | null; tcp?: 'keep' | 'close' | null } = {},
  ): Promise<InstanceCheckpoint> {
    return this.#call('POST', `/v1/instances/${at(id)}/checkpoints`, InstanceCheckpoint, { body: how })
  }

  removeCheckpoint(id: string): Promise<InstanceCheckpoint> {
    return this.#call('DELETE', `/v1/instance-checkpoints/${at(id)}`, InstanceCheckpoint)
  }

  /** Clones of it, as it is now or was at a checkpoint; returns once all are ready. */
  async fork(
    id: string,
    request: ForkRequestInput = {},
    options: { signal?: AbortSignal } = {},
  ): Promise<Instance[]> {
    const path = `/v1/instances/${at(id)}/fork`
    return (await this.#call('POST', path, InstanceList, { body: request, ...options })).instances
  }

  /** The content of a file in it. */
  readFile(id: string, path: string): AsyncIterable<Uint8Array> {
    return this.#transport.bytes(`/v1/instances/${at(id)}/file${query({ path })}`)
  }

  /** Puts a file into it, in one step. */
  async writeFile(id: string, path: string, content: AsyncIterable<Uint8Array>, mode = 0o644): Promise<void> {
    await this.#call('PUT', `/v1/instances/${at(id)}/file${query({ path, mode })}`, z.object({}), { content })
  }
}
