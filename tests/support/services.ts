import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServiceRequest, type Service, type ServiceRequestInput } from '@thaw/protocol'
import type { CallRequest } from '../../packages/thaw/src/services/party.js'
import type { Called } from '../../packages/thaw/src/services/service.js'
import type { Client, Stops } from '../../packages/thaw/src/services/stops.js'
import { Services } from '../../packages/thaw/src/services/services.js'
import { Journal } from '../../packages/thaw/src/store/index.js'
import { findPaths, Metrics, openScope, silentLog } from '../../packages/thaw/src/system/index.js'
import { until } from './home.js'

type Input = Partial<ServiceRequestInput['compute']> &
  Partial<ServiceRequestInput['source']> & { replace?: boolean }

/** Somebody who is attached to a call. */
export class Visitor implements Client {
  text = ''
  gone: { error: unknown } | null = null

  /** What is typed, at once, and what was said until the visitor left. @param call null: the one that waits longest */
  static async visit(stops: Stops, typed: string, call: number | null = null): Promise<string> {
    const visitor = new Visitor()
    const attached = stops.attach(call, 'pdb', visitor)
    attached.type(Buffer.from(typed))
    attached.end()
    await until('the visitor leaves', () => visitor.gone !== null, 20)
    if (visitor.gone?.error !== null) throw new Error('It was sent away.', { cause: visitor.gone?.error })
    return visitor.text
  }

  print(_stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.text += Buffer.from(bytes).toString()
  }

  left(error: unknown): void {
    this.gone = { error }
  }
}

/** Services in a directory of their own; everything of them ends with it. */
export class ServiceBench implements AsyncDisposable {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-services-')))
  readonly project = join(this.directory, 'project')
  #journal!: Journal
  services!: Services

  constructor() {
    mkdirSync(this.project)
    this.open()
  }

  /** As a daemon that begins. */
  open(): void {
    const paths = {
      state: join(this.directory, 'state'),
      runtime: join(this.directory, 'run'),
      cache: findPaths().cache,
    }
    for (const one of [paths.state, paths.runtime]) mkdirSync(one, { recursive: true, mode: 0o700 })
    this.#journal = new Journal(join(paths.state, 'journal.db'))
    const metrics = new Metrics({ version: '0', build: '0' })
    const ask = () => Promise.reject(new Error('nothing is repaired here'))
    this.services = new Services({ journal: this.#journal, paths, metrics, ask, log: silentLog })
  }

  async close(): Promise<void> {
    await this.services[Symbol.asyncDispose]()
    this.#journal[Symbol.dispose]()
  }

  write(name: string, text: string): string {
    const file = join(this.project, name)
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(file, text)
    return file
  }

  read(name: string): string {
    return readFileSync(join(this.project, name), 'utf8')
  }

  /** `main.py` as a service, in a plain process unless told otherwise. */
  async deploy(name: string, given: Input = {}, file = 'main.py'): Promise<Service> {
    const { callables, class: made, root, replace = false, ...compute } = given
    const source = { file: join(this.project, file), callables, class: made, root: root ?? this.project }
    const request = ServiceRequest.parse({
      name,
      source: JSON.parse(JSON.stringify(source)),
      compute: { engine: 'plain', env: { PYTHONDONTWRITEBYTECODE: '1' }, ...compute },
      replace,
    })
    return await this.services.deploy(request, openScope())
  }

  request(fn: string, input: unknown = [], how: Partial<CallRequest> = {}): CallRequest {
    return {
      id: 'test',
      fn,
      kind: 'json',
      body: Buffer.from(typeof input === 'string' ? input : JSON.stringify(input)),
      timeout: null,
      isolation: 'service',
      signal: new AbortController().signal,
      printed: () => undefined,
      ...how,
    }
  }

  /** @param input JSON text, or what is to be sent as JSON */
  answer(name: string, fn: string, input: unknown = [], how: Partial<CallRequest> = {}): Promise<Called> {
    return this.services.call(name, this.request(fn, input, how), null)
  }

  /** What a function returns. */
  async call(
    name: string,
    fn: string,
    input: unknown = [],
    how: Partial<CallRequest> = {},
  ): Promise<unknown> {
    const { kind, body } = await this.answer(name, fn, input, how)
    return kind === 'json' ? JSON.parse(body.toString()) : body
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
