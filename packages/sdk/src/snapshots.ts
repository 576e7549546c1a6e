import {
  ExportedSnapshot,
  ImportedSnapshot,
  Instance,
  Removed,
  Snapshot,
  SnapshotLine,
  SnapshotList,
  SnapshotVerification,
  type InstanceRequestInput,
  type SnapshotRequestInput,
} from '@thaw/protocol'
import { at, query, type Call } from './call.js'
import type { Transport } from './transport.js'

/** What can be given to one that is restored. */
export type TakeInput = Partial<
  Pick<InstanceRequestInput, 'name' | 'ports' | 'limits' | 'readiness' | 'ttl' | 'idle_ttl'>
>

export class SnapshotsClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  /** Newest first. */
  async list(): Promise<Snapshot[]> {
    return (await this.#call('GET', '/v1/snapshots', SnapshotList)).snapshots
  }

  /** By name or id. */
  get(id: string): Promise<Snapshot> {
    return this.#call('GET', `/v1/snapshots/${at(id)}`, Snapshot)
  }

  /**
   * Has one made of an image, or of another snapshot.
   *
   * @param options.wait seconds until it is returned, ready or not; 0: at once
   * @throws ThawError IMAGE_NOT_FOUND, NAME_TAKEN, SNAPSHOT_FAILED
   */
  create(request: SnapshotRequestInput, options: { wait?: number } = {}): Promise<Snapshot> {
    const { wait = 600 } = options
    const headers: Record<string, string> = wait === 0 ? {} : { prefer: `wait=${wait}` }
    return this.#call('POST', '/v1/snapshots', Snapshot, { body: request, headers })
  }

  /** What was done to it since the daemon began. @param how.follow go on until its build has ended */
  async *lines(
    id: string,
    how: { follow?: boolean; signal?: AbortSignal } = {},
  ): AsyncGenerator<SnapshotLine> {
    const { follow = false, signal } = how
    const path = `/v1/snapshots/${at(id)}/logs${query({ follow })}`
    const decoder = new TextDecoder()
    let text = ''
    for await (const bytes of this.#transport.bytes(path, signal === undefined ? {} : { signal })) {
      const lines = (text + decoder.decode(bytes, { stream: true })).split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) yield SnapshotLine.parse(JSON.parse(line))
    }
  }

  /** Makes it anew; returns at once. */
  rebuild(id: string): Promise<Snapshot> {
    return this.#call('POST', `/v1/snapshots/${at(id)}/rebuild`, Snapshot)
  }

  /** Reads all of it, restores it, and asks whether what it became is ready. */
  verify(id: string): Promise<SnapshotVerification> {
    return this.#call('POST', `/v1/snapshots/${at(id)}/verify`, SnapshotVerification)
  }

  /** An instance of it; where that fails, by a start. Returns once it is ready. */
  spawn(id: string, given: TakeInput = {}): Promise<Instance> {
    return this.#call('POST', `/v1/snapshots/${at(id)}/instances`, Instance, { body: given })
  }

  /** Writes one of a machine into a new file on the daemon's machine. The file holds the machine's memory and disk. */
  export(id: string, file: string): Promise<ExportedSnapshot> {
    return this.#call('POST', `/v1/snapshots/${at(id)}/export`, ExportedSnapshot, { body: { file } })
  }

  /** Makes one, and its image where that is not there, of a file that `export` has written, on the daemon's machine. */
  import(file: string, name: string | null = null): Promise<ImportedSnapshot> {
    return this.#call('POST', '/v1/snapshots/import', ImportedSnapshot, { body: { file, name } })
  }

  /** @returns ids of what was removed. @throws ThawError HAS_DEPENDENTS */
  async remove(id: string, how: { cascade?: boolean; force?: boolean } = {}): Promise<string[]> {
    return (await this.#call('DELETE', `/v1/snapshots/${at(id)}${query(how)}`, Removed)).removed
  }
}
