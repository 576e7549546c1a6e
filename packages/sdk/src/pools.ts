import { Instance, Pool, PoolList, type PoolRequestInput } from '@thaw/protocol'
import { at, type Call } from './call.js'
import type { TakeInput } from './snapshots.js'

export class PoolsClient {
  readonly #call: Call

  constructor(call: Call) {
    this.#call = call
  }

  /** Newest first. */
  async list(): Promise<Pool[]> {
    return (await this.#call('GET', '/v1/pools', PoolList)).pools
  }

  /** By name or id. */
  get(id: string): Promise<Pool> {
    return this.#call('GET', `/v1/pools/${at(id)}`, Pool)
  }

  /** @param options.wait false: before it is full */
  create(request: PoolRequestInput, options: { wait?: boolean } = {}): Promise<Pool> {
    const headers: Record<string, string> = options.wait === false ? { prefer: 'respond-async' } : {}
    return this.#call('POST', '/v1/pools', Pool, { body: request, headers })
  }

  /** Returns when it is full, or cannot be filled: its `reason` then tells why. */
  warmup(id: string): Promise<Pool> {
    return this.#call('POST', `/v1/pools/${at(id)}/warm`, Pool)
  }

  /** A member as an instance; from an empty pool one of its snapshot, or by a start: `boot_method` tells. */
  spawn(id: string, given: TakeInput = {}): Promise<Instance> {
    return this.#call('POST', `/v1/pools/${at(id)}/take`, Instance, { body: given })
  }

  /** Ends what was taken, and forgets it. */
  destroy(instance: Instance | string): Promise<Instance> {
    const id = typeof instance === 'string' ? instance : instance.id
    return this.#call('DELETE', `/v1/instances/${at(id)}?force=true&cascade=true`, Instance)
  }

  resize(id: string, size: number): Promise<Pool> {
    return this.#call('POST', `/v1/pools/${at(id)}/resize`, Pool, { body: { size } })
  }

  /** Its members end, and it gives nothing until it is resized. */
  drain(id: string): Promise<Pool> {
    return this.#call('POST', `/v1/pools/${at(id)}/drain`, Pool)
  }

  /** Every member is replaced by a new one. */
  refresh(id: string): Promise<Pool> {
    return this.#call('POST', `/v1/pools/${at(id)}/refresh`, Pool)
  }

  /** What was taken from it lives on. */
  remove(id: string): Promise<Pool> {
    return this.#call('DELETE', `/v1/pools/${at(id)}`, Pool)
  }
}
