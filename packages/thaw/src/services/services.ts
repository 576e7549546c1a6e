/** All services of a daemon. */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import {
  AppCompute,
  type AppRequest,
  type CodeManifest,
  type CodeState,
  type Service as ServiceDocument,
  type ServiceRequest,
} from '@thaw/protocol'
import { CriuProvider } from '../engines/process/criu/provide.js'
import { ProcessGroup } from '../engines/process/group.js'
import { ProcessEngine } from '../engines/process/process.js'
import { describeInterpreter, findProgram, findProject } from '../languages/index.js'
import type { AppRow, Journal, ServiceRow } from '../store/index.js'
import {
  preparePrivate,
  removeTree,
  ThawError,
  type Log,
  type Metrics,
  type Paths,
  type Scope,
} from '../system/index.js'
import { App, type Entrance } from './apps/app.js'
import type { Kept } from './kept.js'
import type { Called } from './service.js'
import { checkNode, isNode } from './node.js'
import type { CallRequest } from './party.js'
import type { AskForEdit } from './repair.js'
import { Service, type Shop } from './service.js'
import { Uploads } from './uploads.js'

/** Between two looks whether a service is due to rest. Milliseconds. */
const LOOK = 250
/** Oldest CPython that the processes of a service run on. */
const OLDEST = [3, 11]

export class Services implements AsyncDisposable {
  readonly #shop: Shop
  readonly #group: ProcessGroup
  readonly #all = new Map<string, Service | App>()
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #uploads: Uploads
  readonly #timer: NodeJS.Timeout

  /** Frozen services of an earlier daemon are there again; others begin anew at their next call. */
  constructor(parts: {
    journal: Journal
    paths: Pick<Paths, 'state' | 'cache' | 'runtime'>
    metrics: Metrics
    /** Who is asked for edits of calls that raise an error. */
    ask: AskForEdit
    log: Log
  }) {
    const { journal, paths, metrics, ask, log } = parts
    const directory = join(paths.state, 'services')
    const images = join(directory, 'images')
    const sockets = join(paths.runtime, 'services')
    for (const one of [directory, sockets]) preparePrivate(one)
    const engine = new ProcessEngine(new CriuProvider(paths.cache), (what) => log.info(what))
    this.#metrics = metrics
    this.#log = log
    this.#group = ProcessGroup.open(images, join(directory, 'work'), log)
    this.#uploads = new Uploads(join(directory, 'code'))
    const logs = join(directory, 'logs')
    mkdirSync(logs, { recursive: true, mode: 0o700 })
    this.#shop = {
      site: { engine, group: this.#group },
      journal,
      images,
      logs,
      sockets,
      engine: async (wanted, scope) => {
        if (wanted !== 'auto') return wanted
        return (await engine.missing(scope)) === null ? 'process' : 'plain'
      },
      python: findPython,
      root: (file) => findProject(join(file, '..'), file),
      repairs: join(directory, 'repairs'),
      ask,
      log,
    }
    const rows = journal.services.list()
    for (const row of rows) this.#add(this.#checked(row))
    const kept = new Set(rows.flatMap(({ frozen }) => (frozen === null ? [] : copiesOf(frozen))))
    for (const name of readdirSync(images)) if (!kept.has(name)) removeTree(join(images, name))
    for (const name of readdirSync(logs)) if (!this.#all.has(name)) removeTree(join(logs, name))
    this.#uploads.prune((name) => this.#all.has(name), false)
    this.#timer = setInterval(() => {
      for (const service of this.#all.values()) void service.rest()
    }, LOOK)
    this.#timer.unref()
    metrics.gauge('services_live', 'Services whose processes run.', () => this.live())
    metrics.gauge('service_calls_running', 'Calls of services that go on now.', () =>
      [...this.#all.values()].reduce((sum, one) => sum + one.running, 0),
    )
  }

  /** How many have processes. */
  live(): number {
    return [...this.#all.values()].filter((one) => one.isLive).length
  }

  /** By name. */
  list(): ServiceDocument[] {
    return [...this.#all.values()]
      .map((one) => one.describe())
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }

  /** @throws ThawError SERVICE_NOT_FOUND */
  find(name: string): Kept {
    return this.#find(name)
  }

  /** One that has functions. @throws ThawError SERVICE_NOT_FOUND, UNSUPPORTED */
  get(name: string): Service {
    const found = this.#find(name)
    if (found instanceof Service) return found
    throw new ThawError('UNSUPPORTED', `${name} is an app: it has no functions.`, {
      hint: `It is asked at /v1/services/${name}/app/.`,
    })
  }

  /**
   * Makes a service, or brings the one of this name to what is asked; it serves when this resolves.
   *
   * @throws ThawError SERVICE_EXISTS, FILE_UNREADABLE, UNSUPPORTED, SERVICE_FAILED, SYNTAX_ERROR, LAUNCH_TIMEOUT
   */
  async deploy({ replace, ...request }: ServiceRequest, scope: Scope): Promise<ServiceDocument> {
    checkSource(request)
    const there = await this.#there(request, replace, request.source.file)
    const known = there instanceof Service ? there : null
    const service = known ?? new Service(this.#shop, begun(request))
    this.#all.set(request.name, service)
    await service.deploy(known === null ? request : joined(known.request, request), scope)
    return service.describe()
  }

  /**
   * Makes an app, or brings the one of this name to what is asked; it answers when this resolves.
   *
   * @throws ThawError SERVICE_EXISTS, SERVICE_FAILED, LAUNCH_TIMEOUT, COMMAND_NOT_FOUND, DIRECTORY_GONE
   */
  async deployApp({ replace, ...request }: AppRequest, scope: Scope): Promise<ServiceDocument> {
    const { cwd } = request.app
    if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new ThawError('DIRECTORY_GONE', `${cwd}, in which ${request.name} is to run, does not exist.`)
    }
    const there = await this.#there(request, replace)
    const app = there instanceof App ? there : new App(this.#shop, begun(request))
    this.#all.set(request.name, app)
    await app.deploy(request, scope)
    return app.describe()
  }

  /** @throws ThawError SERVICE_NOT_FOUND and what Service.call throws */
  async call(name: string, request: CallRequest, version: string | null): Promise<Called> {
    const begun = performance.now()
    try {
      const called = await this.get(name).call(request, version)
      this.#metrics.serviceCall(name, 'ok', (performance.now() - begun) / 1000)
      return called
    } catch (error) {
      const told = withRequest(ThawError.from(error), request.id)
      const { code } = told
      if (code !== 'SERVICE_NOT_FOUND') {
        this.#metrics.serviceCall(name, code, (performance.now() - begun) / 1000)
      }
      this.#log.info('A call failed.', { service: name, fn: request.fn, request: request.id, code })
      throw told
    }
  }

  /**
   * The way to an app, which is brought up for it.
   *
   * @param asked.timeout seconds that it may wait for room; undefined: as long as a request of it may take
   * @param asked.signal aborted when nobody waits for it any more
   * @throws ThawError SERVICE_NOT_FOUND, UNSUPPORTED and what App.enter throws
   */
  async enter(
    name: string,
    { timeout, signal }: { timeout: number | undefined; signal: AbortSignal },
  ): Promise<Entrance & { timeout: number | null }> {
    const app = this.#find(name)
    if (!(app instanceof App)) {
      throw new ThawError('UNSUPPORTED', `${name} is no app.`, {
        hint: `Its functions are called at /v1/services/${name}/call/FUNCTION.`,
      })
    }
    const begun = performance.now()
    const counted = (outcome: string) =>
      this.#metrics.serviceCall(name, outcome, (performance.now() - begun) / 1000)
    try {
      const limit = timeout ?? app.request.compute.timeout
      const { port, leave } = await app.enter({ timeout: limit, signal })
      return {
        port,
        timeout: limit,
        leave: (failed) => {
          leave(failed)
          counted(failed ? 'APP_BROKEN' : 'ok')
        },
      }
    } catch (error) {
      counted(ThawError.from(error).code)
      throw error
    }
  }

  /** @param except file whose code stays, where it was sent */
  async remove(name: string, except: string | null = null): Promise<void> {
    const service = this.#find(name)
    this.#all.delete(name)
    await service.remove()
    this.#uploads.remove(name, except)
  }

  /**
   * The code of a service on another machine: what of it is missing here, or where it is.
   *
   * @throws ThawError PAYLOAD_TOO_LARGE, DISK_FULL
   */
  async putCode(name: string, manifest: CodeManifest): Promise<CodeState> {
    this.#uploads.prune((one) => one === name || this.#all.has(one), true)
    return await this.#uploads.put(name, manifest, async (root, work) => {
      const service = this.#all.get(name)
      // Calls see all of an edit, or nothing.
      if (service instanceof Service && service.request.source.file.startsWith(root + sep))
        await service.change(work)
      else work()
    })
  }

  /** @throws ThawError INVALID_REQUEST, PAYLOAD_TOO_LARGE, DISK_FULL */
  receiveCode(name: string, sha256: string, content: Uint8Array): void {
    this.#uploads.receive(name, sha256, content)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all([...this.#all.values()].map((one) => one[Symbol.asyncDispose]()))
    await this.#group[Symbol.asyncDispose]()
  }

  #find(name: string): Service | App {
    const found = this.#all.get(name)
    if (found === undefined) throw new ThawError('SERVICE_NOT_FOUND', `There is no service ${name}.`)
    return found
  }

  #add(row: ServiceRow | AppRow): void {
    // What an older thaw has written down knows less.
    const known = ({ request }: AppRow) => ({ ...request, compute: AppCompute.parse(request.compute) })
    const one = isApp(row)
      ? new App(this.#shop, { ...row, request: known(row) })
      : new Service(this.#shop, row)
    this.#all.set(row.request.name, one)
  }

  /** What has the name already, unless it is to give way. @throws ThawError SERVICE_EXISTS */
  async #there(
    request: Asked | AskedApp,
    replace: boolean,
    except: string | null = null,
  ): Promise<Service | App | null> {
    const known = this.#all.get(request.name)
    if (known === undefined || isSameCode(known.request, request)) return known ?? null
    if (!replace) {
      const [there, asked] = [this.#originOf(known.request), this.#originOf(request)]
      throw new ThawError('SERVICE_EXISTS', `${request.name} is ${there}, not ${asked}.`, {
        details: { there, asked },
      })
    }
    await this.remove(request.name, except)
    return null
  }

  #originOf(request: Asked | AskedApp): string {
    if ('app' in request) return `${request.app.command.join(' ')} in ${request.app.cwd}`
    const { source } = request
    const file = this.#uploads.originOf(source.file)
    return source.class === null ? file : `${source.class.name} of ${file}`
  }

  /** What is frozen may have gone, with a disk that was cleaned. */
  #checked(row: ServiceRow | AppRow): ServiceRow | AppRow {
    const there = (name: string) => existsSync(join(this.#shop.images, name))
    if (row.frozen === null) return row
    if (copiesOf(row.frozen).every(there)) return row
    const lost = { ...row, frozen: null }
    this.#shop.journal.services.record(lost)
    return lost
  }
}

/** So that who reads the error finds the call in the logs. */
function withRequest(error: ThawError, request: string): ThawError {
  const { code, message, hint, cause } = error
  return new ThawError(code, message, { hint, cause, details: { ...error.details, request } })
}

/** @throws ThawError FILE_UNREADABLE, UNSUPPORTED */
function checkSource(request: Asked): void {
  const { file } = request.source
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined) {
    throw new ThawError('FILE_UNREADABLE', `There is no file ${file}.`, { hint: 'Check its name.' })
  }
  if (!found.isFile()) {
    throw new ThawError('FILE_UNREADABLE', `${file} is no file that can be read.`)
  }
  if (isNode(file)) return checkNode(request)
  if (file.endsWith('.py')) return
  throw new ThawError(
    'UNSUPPORTED',
    `${file} is no file of Python or Node: services are made of .py, .mjs, .cjs, .js, .ts and .mts.`,
  )
}

type Asked = ServiceRow['request']
type AskedApp = AppRow['request']

function isApp(row: ServiceRow | AppRow): row is AppRow {
  return 'app' in row.request
}

/** Directories of images. */
function copiesOf(frozen: NonNullable<(ServiceRow | AppRow)['frozen']>): string[] {
  const base = 'base' in frozen ? frozen.base : null
  return base === null ? [frozen.directory] : [frozen.directory, base]
}

function begun<R>(request: R): { request: R; created_at: string; frozen: null } {
  return { request, created_at: new Date().toISOString(), frozen: null }
}

function isSameCode(a: Asked | AskedApp, b: Asked | AskedApp): boolean {
  const of = (one: Asked | AskedApp) =>
    JSON.stringify('app' in one ? [one.app.cwd, one.app.command] : [one.source.file, one.source.class])
  return 'app' in a === 'app' in b && of(a) === of(b)
}

/** One service has any number of callables: those that were there stay. So does an interpreter that was named. */
function joined(known: Asked, asked: Asked): Asked {
  const [before, now] = [known.source.callables, asked.source.callables]
  const callables = before === null || now === null ? now : [...new Set([...before, ...now])]
  const python = asked.compute.python ?? known.compute.python
  return { ...asked, source: { ...asked.source, callables }, compute: { ...asked.compute, python } }
}

/** @throws ThawError COMMAND_NOT_FOUND, UNSUPPORTED */
async function findPython({ compute, source }: Asked, scope: Scope): ReturnType<Shop['python']> {
  const path = { PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin' }
  const home = process.env['HOME'] === undefined ? {} : { HOME: process.env['HOME'] }
  const env = { ...path, ...home, ...compute.env }
  const cwd = source.file.slice(0, Math.max(1, source.file.lastIndexOf(sep)))
  const name = compute.python ?? 'python3'
  const program = findProgram(name, cwd, env)
  if (program === null) throw new ThawError('COMMAND_NOT_FOUND', `There is no ${name} on PATH.`)
  const interpreter = await describeInterpreter(program, cwd, env, scope)
  if (interpreter === null) throw new ThawError('UNSUPPORTED', `${program} is no Python.`)
  const { version, executable } = interpreter
  const [major = 0, minor = 0] = version
  if (major < 3 || (major === 3 && minor < (OLDEST[1] ?? 0))) {
    throw new ThawError(
      'UNSUPPORTED',
      `${executable} is Python ${version.join('.')}; services need ${OLDEST.join('.')}.`,
    )
  }
  return { argv: [executable], env }
}
