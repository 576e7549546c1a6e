import {
  CodeState,
  Service,
  ServiceAnswer,
  ServiceList,
  ServiceStopList,
  ThawError,
  type AppRequestInput,
  type CodeFile,
  type ServiceRequestInput,
  type ServiceStop,
} from '@thaw/protocol'
import { z } from 'zod'
import { at, query, type Call } from './call.js'
import type { Transport } from './transport.js'

/** Positional arguments, or named ones, or both. */
export type CallInput =
  | readonly unknown[]
  | Readonly<Record<string, unknown>>
  | { args: readonly unknown[]; kwargs: Readonly<Record<string, unknown>> }

export interface CallOptions {
  /** Seconds after which it is cancelled. */
  timeout?: number
  /** The code version that has to answer. */
  version?: string
  /** `call`: in a copy of the state right after loading. */
  isolation?: 'service' | 'call'
  /** Cancels the call. */
  signal?: AbortSignal
  /** What it prints, as it is printed. */
  onOutput?(stream: 'stdout' | 'stderr', text: string): void | Promise<void>
}

/** A service, as one calls it from a program. */
export interface ServiceInput {
  name: string
  /** Python file or Node module: its absolute path where the daemon runs. */
  module: string
  /** Seconds, or a text as `10m`. */
  inactivityTtl?: number | string
  launchTimeout?: number | string
  compute?: ServiceRequestInput['compute']
}

/** A file of the code that `upload` sends. */
export interface CodeToSend extends CodeFile {
  /** Called where its content is missing there. */
  read(): Promise<Blob>
}

const Streamed = ServiceAnswer.extend({ kind: z.enum(['json', 'bytes', 'pickle']) })

export class ServicesClient {
  readonly #call: Call
  readonly #transport: Transport

  constructor(call: Call, transport: Transport) {
    this.#call = call
    this.#transport = transport
  }

  /** By name. */
  async list(): Promise<Service[]> {
    return (await this.#call('GET', '/v1/services', ServiceList)).services
  }

  get(name: string): Promise<Service> {
    return this.#call('GET', `/v1/services/${at(name)}`, Service)
  }

  /**
   * Makes a service, or brings the one of this name to what is asked; returns when it serves.
   *
   * @throws ThawError SERVICE_EXISTS, SERVICE_FAILED, SYNTAX_ERROR, LAUNCH_TIMEOUT
   */
  deploy(request: ServiceRequestInput): Promise<Service> {
    return this.#call('POST', '/v1/services', Service, { body: request })
  }

  /**
   * Makes an app, or brings the one of this name to what is asked; returns when it is ready. It is asked over HTTP, at
   * `/v1/services/NAME/app/` of the daemon.
   *
   * @throws ThawError SERVICE_EXISTS, SERVICE_FAILED, LAUNCH_TIMEOUT, COMMAND_NOT_FOUND, DIRECTORY_GONE
   */
  deployApp(request: AppRequestInput): Promise<Service> {
    return this.#call('POST', '/v1/services/apps', Service, { body: request })
  }

  /**
   * Sends code to a daemon on another machine: of what it has already nothing travels. `root` of what it returns is where the code is
   * there, to be deployed from.
   *
   * @param origin machine and directory that it is from
   * @throws ThawError PAYLOAD_TOO_LARGE, INVALID_REQUEST, DISK_FULL
   */
  async upload(
    name: string,
    origin: string,
    files: readonly CodeToSend[],
  ): Promise<{ root: string; sent: CodeFile[] }> {
    const path = `/v1/services/${at(name)}/code`
    const manifest = {
      origin,
      files: files.map(({ path: file, sha256, bytes }) => ({ path: file, sha256, bytes })),
    }
    const first = await this.#call('PUT', path, CodeState, { body: manifest })
    if (first.missing.length === 0) return { root: first.root, sent: [] }
    const sent: CodeFile[] = []
    for (const sha256 of first.missing) {
      const file = files.find((one) => one.sha256 === sha256)
      if (file === undefined) continue
      await this.#call('PUT', `${path}/${sha256}`, z.unknown(), { content: await file.read() })
      sent.push({ path: file.path, sha256, bytes: file.bytes })
    }
    const { root, missing } = await this.#call('PUT', path, CodeState, { body: manifest })
    if (missing.length === 0) return { root, sent }
    throw new ThawError('INTERNAL', `${missing.length} contents that were sent have not arrived.`)
  }

  /**
   * Calls a function. Bytes that it returns are a Uint8Array.
   *
   * @throws ThawError FUNCTION_NOT_FOUND, ARGUMENTS_REFUSED, CALL_RAISED, CALL_TIMEOUT, QUEUE_FULL, WORKER_CRASHED, ...
   */
  async call(name: string, fn: string, input: CallInput = [], options: CallOptions = {}): Promise<unknown> {
    return (await this.answer(name, fn, input, options)).result
  }

  /** The same, with what is known of the call. */
  async answer(
    name: string,
    fn: string,
    input: CallInput = [],
    options: CallOptions = {},
  ): Promise<ServiceAnswer> {
    const { timeout, version, isolation, signal, onOutput } = options
    const path = `/v1/services/${at(name)}/call/${at(fn)}${query({ timeout, version, isolation })}`
    const how = { method: 'POST', body: input, headers: { accept: 'text/event-stream' } } as const
    const bytes = this.#transport.bytes(path, signal === undefined ? how : { ...how, signal })
    for await (const { event, data } of eventsOf(bytes)) {
      if (event === 'stdout' || event === 'stderr') {
        await onOutput?.(event, z.object({ text: z.string() }).parse(JSON.parse(data)).text)
      } else if (event === 'error') throw ThawError.fromBody(JSON.parse(data))
      else if (event === 'result') {
        const { kind, ...answer } = Streamed.parse(JSON.parse(data))
        return kind === 'json' ? answer : { ...answer, result: fromBase64(String(answer.result)) }
      }
    }
    throw new ThawError('DAEMON_LOST', 'The daemon went away before the call had ended.')
  }

  /** Back to the state right after loading. */
  reset(name: string): Promise<Service> {
    return this.#does(name, 'reset')
  }

  restart(name: string): Promise<Service> {
    return this.#does(name, 'restart')
  }

  /** To disk, with its state. @throws ThawError UNSUPPORTED, NOT_COPYABLE, OUTSIDE_CONNECTION; it serves on then */
  freeze(name: string): Promise<Service> {
    return this.#does(name, 'freeze')
  }

  thaw(name: string): Promise<Service> {
    return this.#does(name, 'thaw')
  }

  stop(name: string): Promise<Service> {
    return this.#does(name, 'stop')
  }

  /** Calls that stand at a breakpoint, the one that waits longest first. */
  async stops(name: string): Promise<ServiceStop[]> {
    return (await this.#call('GET', `/v1/services/${at(name)}/stops`, ServiceStopList)).stops
  }

  logs(name: string, how: { follow?: boolean; signal?: AbortSignal } = {}): AsyncIterable<Uint8Array> {
    const { follow = false, signal } = how
    const path = `/v1/services/${at(name)}/logs${query({ follow })}`
    return this.#transport.bytes(path, signal === undefined ? {} : { signal })
  }

  async remove(name: string): Promise<void> {
    await this.#call('DELETE', `/v1/services/${at(name)}`, z.unknown())
  }

  #does(name: string, verb: 'reset' | 'restart' | 'freeze' | 'thaw' | 'stop'): Promise<Service> {
    return this.#call('POST', `/v1/services/${at(name)}/${verb}`, Service)
  }
}

/** One service: what `Client.service` returns. */
export class ServiceHandle {
  readonly name: string
  readonly #services: ServicesClient

  constructor(services: ServicesClient, name: string) {
    this.name = name
    this.#services = services
  }

  /** @throws ThawError as ServicesClient.call */
  call(fn: string, ...args: unknown[]): Promise<unknown> {
    return this.#services.call(this.name, fn, { args, kwargs: {} })
  }
}

async function* eventsOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<{ event: string; data: string }> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of bytes) {
    const parts = (text + decoder.decode(chunk, { stream: true })).split('\n\n')
    text = parts.pop() ?? ''
    for (const part of parts) {
      const [, event = '', data = ''] = /^event: (\w+)\ndata: ([^]*)$/.exec(part) ?? []
      if (event !== '') yield { event, data }
    }
  }
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
