/**
 * Client of Firecracker's API: HTTP over a unix socket, one request at a time.
 *
 * Names and units of what is sent are those of Firecracker's published description
 * (src/firecracker/swagger/firecracker.yaml in its repository). It refuses fields that it does not know, so nothing is
 * sent here that the oldest version we take (OLDEST in versions.ts) would not know.
 */
import { request } from 'node:http'
import { FirecrackerFault, FirecrackerInstance, FirecrackerVersion } from '@thaw/protocol/firecracker'
import type { z } from 'zod'
import { ThawError, withTimeout, within, type Scope } from '../../../system/index.js'

/** Milliseconds within which everything but a snapshot is answered. */
const ANSWER_TIMEOUT = 10_000
/** Bytes; what is longer is no answer of Firecracker's. */
const LONGEST_ANSWER = 1 << 20

export interface MachineConfiguration {
  vcpu_count: number
  mem_size_mib: number
  smt: boolean
  track_dirty_pages: boolean
}

export interface BootSource {
  kernel_image_path: string
  initrd_path?: string
  boot_args: string
}

export interface Drive {
  drive_id: string
  path_on_host: string
  is_root_device: boolean
  is_read_only: boolean
  cache_type: 'Unsafe' | 'Writeback'
}

export interface NetworkInterface {
  iface_id: string
  host_dev_name: string
  guest_mac: string
}

export interface Vsock {
  guest_cid: number
  uds_path: string
}

export interface SnapshotFiles {
  snapshot_path: string
  mem_file_path: string
}

type Method = 'GET' | 'PUT' | 'PATCH'

/**
 * Every operation:
 * - Prerequisites: the process listens on its socket.
 * - On success: what Firecracker's description says of the request.
 * - On failure: ENGINE_FAILED with Firecracker's own words, the machine as it was (but see `loadSnapshot`);
 *   TIMEOUT or CANCELLED when the scope ends first, and then it is not known whether the request took effect.
 */
export class FirecrackerApi {
  readonly #socket: string
  readonly #ended: () => Promise<string | null>

  /**
   * @param socket path of fewer than 108 bytes
   * @param ended asked when there is no answer: how the process ended, in words; null: it has not
   */
  constructor(socket: string, ended: () => Promise<string | null>) {
    this.#socket = socket
    this.#ended = ended
  }

  async instance(scope: Scope): Promise<FirecrackerInstance> {
    return await this.#get('/', FirecrackerInstance, scope)
  }

  /** Version of the process, as `1.13.1`. */
  async version(scope: Scope): Promise<string> {
    return (await this.#get('/version', FirecrackerVersion, scope)).firecracker_version
  }

  async configure(machine: MachineConfiguration, scope: Scope): Promise<void> {
    await this.#change('PUT', '/machine-config', machine, scope)
  }

  async bootSource(source: BootSource, scope: Scope): Promise<void> {
    await this.#change('PUT', '/boot-source', source, scope)
  }

  async drive(drive: Drive, scope: Scope): Promise<void> {
    await this.#change('PUT', `/drives/${encodeURIComponent(drive.drive_id)}`, drive, scope)
  }

  async networkInterface(card: NetworkInterface, scope: Scope): Promise<void> {
    await this.#change('PUT', `/network-interfaces/${encodeURIComponent(card.iface_id)}`, card, scope)
  }

  async vsock(vsock: Vsock, scope: Scope): Promise<void> {
    await this.#change('PUT', '/vsock', vsock, scope)
  }

  /** A virtio-rng device, fed by the host's generator. */
  async entropy(scope: Scope): Promise<void> {
    await this.#change('PUT', '/entropy', {}, scope)
  }

  async start(scope: Scope): Promise<void> {
    await this.#change('PUT', '/actions', { action_type: 'InstanceStart' }, scope)
  }

  /** Asks the guest to shut down, through its keyboard; x86 only. */
  async ctrlAltDel(scope: Scope): Promise<void> {
    await this.#change('PUT', '/actions', { action_type: 'SendCtrlAltDel' }, scope)
  }

  async pause(scope: Scope): Promise<void> {
    await this.#change('PATCH', '/vm', { state: 'Paused' }, scope)
  }

  async resume(scope: Scope): Promise<void> {
    await this.#change('PATCH', '/vm', { state: 'Resumed' }, scope)
  }

  /**
   * Prerequisite: the machine is paused. On success both files are whole, though not yet on the disk. On failure files
   * may be left.
   *
   * @param scope its deadline is the only one: all of the memory is written
   */
  async createSnapshot(files: SnapshotFiles, scope: Scope): Promise<void> {
    await this.#change('PUT', '/snapshot/create', { snapshot_type: 'Full', ...files }, scope, Infinity)
  }

  /**
   * Prerequisite: a fresh process that nothing was configured in. On success the machine is paused; its memory is a
   * private mapping of the file, which must not change while the machine lives. On failure the process ends.
   */
  async loadSnapshot(files: SnapshotFiles, scope: Scope): Promise<void> {
    const body = {
      snapshot_path: files.snapshot_path,
      mem_backend: { backend_type: 'File', backend_path: files.mem_file_path },
      resume_vm: false,
    }
    await this.#change('PUT', '/snapshot/load', body, scope)
  }

  async #change(
    method: 'PUT' | 'PATCH',
    path: string,
    body: object,
    scope: Scope,
    timeout = ANSWER_TIMEOUT,
  ): Promise<void> {
    const { status, text } = await this.#ask(method, path, body, scope, timeout)
    if (status !== 204) throw refusal(method, path, status, text)
  }

  async #get<T>(path: string, schema: z.ZodType<T>, scope: Scope): Promise<T> {
    const { status, text } = await this.#ask('GET', path, null, scope, ANSWER_TIMEOUT)
    if (status !== 200) throw refusal('GET', path, status, text)
    const read = schema.safeParse(parsed(text))
    if (read.success) return read.data
    throw new ThawError('ENGINE_FAILED', `Firecracker's answer to GET ${path} is malformed.`, {
      cause: read.error,
    })
  }

  async #ask(
    method: Method,
    path: string,
    body: object | null,
    scope: Scope,
    timeout: number,
  ): Promise<{ status: number; text: string }> {
    const ended = new AbortController()
    const limited = timeout === Infinity ? scope : withTimeout(scope, timeout)
    try {
      const answer = this.#send(method, path, body, ended.signal)
      return await within(limited, `waiting for Firecracker's answer to ${method} ${path}`, answer)
    } catch (error) {
      if (error instanceof ThawError) throw error
      const end = (await this.#ended()) ?? `no answer: ${(error as Error).message}`
      throw new ThawError('ENGINE_FAILED', `${method} ${path} failed, ${end}`, { cause: error })
    } finally {
      ended.abort()
    }
  }

  #send(
    method: Method,
    path: string,
    body: object | null,
    signal: AbortSignal,
  ): Promise<{ status: number; text: string }> {
    const bytes = body === null ? null : Buffer.from(JSON.stringify(body))
    // A length in advance: Firecracker's server reads no chunked bodies.
    const headers =
      bytes === null ? {} : { 'content-type': 'application/json', 'content-length': bytes.length }
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          socketPath: this.#socket,
          method,
          path,
          headers: { accept: 'application/json', ...headers },
          signal,
          agent: false,
        },
        (response) => {
          const parts: Buffer[] = []
          let length = 0
          response.on('data', (part: Buffer) => {
            length += part.length
            if (length > LONGEST_ANSWER) response.destroy(new Error('the answer is too long'))
            else parts.push(part)
          })
          response.once('error', reject)
          response.once('end', () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }),
          )
        },
      )
      sent.once('error', reject)
      sent.end(bytes ?? undefined)
    })
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function refusal(method: Method, path: string, status: number, text: string): ThawError {
  const fault = FirecrackerFault.safeParse(parsed(text))
  const why = fault.success ? fault.data.fault_message : `status ${status}`
  return new ThawError('ENGINE_FAILED', `Firecracker refused ${method} ${path}: ${why}`)
}
