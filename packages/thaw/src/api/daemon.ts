import { chmodSync, closeSync, rmSync, writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { DaemonSettings } from '@thaw/protocol'
import { Journal, type Lost } from '../store/index.js'
import {
  Disposables,
  fileLog,
  findPaths,
  Metrics,
  preparePaths,
  takeLock,
  ThawError,
  type Log,
  type Paths,
} from '../system/index.js'
import { BUILD, VERSION } from '../version.js'
import { Access } from './access.js'
import type { ApiContext } from './context.js'
import { IdleExit } from './idle.js'
import { Operations } from './operations.js'
import type { RepairsPort, RunsPort, SetupPort } from './ports.js'
import type { Services } from '../services/services.js'
import type { Products } from '../snapshots/products.js'
import { buildServer, serveAlso } from './server.js'
import { daemonSettings, resolveSettings } from './settings.js'
import { TcpListener } from './tcp.js'
import { Tokens } from './tokens.js'

export type CreateRuns<Made extends RunsPort & AsyncDisposable> = (options: {
  paths: Paths
  journal: Journal
  log: Log
  metrics: Metrics
  settings: DaemonSettings
}) => Promise<Made>

export type CreateRepairs<Made> = (options: {
  paths: Paths
  runs: Made
  log: Log
}) => Promise<RepairsPort & AsyncDisposable>

/** Engines that fetch what they lack. */
export type CreateEngines = (paths: Paths) => SetupPort

export type CreateProducts = (options: {
  paths: Paths
  journal: Journal
  log: Log
  metrics: Metrics
  settings: DaemonSettings
}) => Products

export type CreateServices<Made> = (options: {
  paths: Paths
  journal: Journal
  log: Log
  metrics: Metrics
  runs: Made
}) => Services

/** Descriptor on which the one who started the daemon waits for its first word, a JSON line. */
const READY_FD = 3

function tell(message: unknown): void {
  try {
    writeSync(READY_FD, `${JSON.stringify(message)}\n`)
    closeSync(READY_FD)
  } catch {
    // Started by hand, or the starter has gone: nobody is waiting.
  }
}

interface Rooms<Made> {
  createRuns: CreateRuns<Made & RunsPort & AsyncDisposable>
  createRepairs: CreateRepairs<Made>
  createEngines: CreateEngines
  createProducts: CreateProducts
  createServices: CreateServices<Made>
}

async function serve<Made extends RunsPort & AsyncDisposable>({
  createRuns,
  createRepairs,
  createEngines,
  createProducts,
  createServices,
}: Rooms<Made>): Promise<void> {
  process.chdir('/')
  process.umask(0o077)
  const paths = findPaths()
  preparePaths(paths)
  const cleanup = new Disposables()
  const lock = takeLock(paths.lock)
  if ('heldBy' in lock) {
    tell({ t: 'held', by: lock.heldBy })
    return
  }
  cleanup.use(lock)
  const resolved = resolveSettings({ env: process.env, userFile: paths.settings })
  const settings = daemonSettings(resolved)
  const log = cleanup.use(fileLog(paths.log, settings.log))
  process.on('uncaughtException', (error) => {
    log.error('uncaught', { error })
    process.exit(1)
  })
  const journal = cleanup.use(new Journal(paths.journal))
  const notices = lostNotice(journal.markLost())
  // Streams end with their runs, so the server is closed after those: this is undone later than what follows.
  let closeServer = async () => {}
  cleanup.add(() => closeServer())
  const metrics = new Metrics({ version: VERSION, build: BUILD })
  const runs = cleanup.use(await createRuns({ paths, journal, log, metrics, settings }))
  const products = cleanup.use(createProducts({ paths, journal, log, metrics, settings }))
  const services = cleanup.use(createServices({ paths, journal, log, metrics, runs }))
  const repairs = cleanup.use(await createRepairs({ paths, runs, log }))
  const tokens = new Tokens(paths.tokens)
  const access = new Access(tokens)
  const operations = new Operations(log)
  // Nothing would start the daemon again when a call comes over TCP, so that it then stays.
  const idle: IdleExit = cleanup.use(
    new IdleExit(
      settings.idle,
      () =>
        runs.live() > 0 ||
        runs.busy() ||
        repairs.busy ||
        products.live() > 0 ||
        products.busy() ||
        services.live() > 0 ||
        tcp.address !== null,
      () => stop(),
    ),
  )
  const tcp = new TcpListener(access, (listener) => {
    listener.on('connection', () => idle.touch())
    serveAlso(server, context)(listener)
  })

  let stopping = false
  const stop = () => {
    if (stopping) return
    stopping = true
    log.info('stopping')
    // The last resort when a cleanup hangs: whatever is left dies with the daemon by its own means.
    setTimeout(() => process.exit(1), 10_000).unref()
    cleanup[Symbol.asyncDispose]().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`)
        process.exit(1)
      },
    )
  }
  const context: ApiContext = {
    runs,
    repairs,
    engines: createEngines(paths),
    products,
    services,
    journal,
    paths,
    settings,
    log,
    metrics,
    idle,
    access,
    tokens,
    tcp,
    operations,
    takeNotices: () => notices.splice(0),
    stopping: () => stopping,
    stop,
  }
  metrics.gauge('live_branches', 'Programs that run now.', () => runs.live())
  metrics.gauge('live_instances', 'Instances that have not ended.', () => products.instances.live())
  metrics.gauge('operations_running', 'Operations of the API that go on now.', () => operations.running())
  metrics.gauge('parked_memory_bytes', 'What parked checkpoints hold of their own, as last measured.', () =>
    runs.memory(),
  )
  metrics.gauge('parked_checkpoints', 'Checkpoints in memory that can be restored now.', () => runs.parked())
  const server = await buildServer(context)
  const connections = new Set<Socket>()
  server.server.on('connection', (socket: Socket) => {
    idle.touch()
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
  })
  server.server.on('request', (_, response) => idle.hold(response))
  server.server.on('upgrade', (_, socket) => idle.hold(socket))
  // Only the holder of the lock gets here, so a socket that is there belongs to a daemon that has gone.
  rmSync(paths.socket, { force: true })
  await server.listen({ path: paths.socket })
  chmodSync(paths.socket, 0o600)
  closeServer = async () => {
    for (const socket of connections) socket.destroySoon()
    await tcp[Symbol.asyncDispose]()
    await server.close()
  }
  // Gone at once, so that the next command starts a daemon of its own instead of talking to one that ends.
  cleanup.add(() => rmSync(paths.socket, { force: true }))
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop)
  log.info('ready', { pid: process.pid, version: VERSION, build: BUILD, socket: paths.socket })
  idle.begin()
  tell({ t: 'ready', pid: process.pid })
}

function lostNotice(lost: Lost): string[] {
  if (lost.branches.length === 0 && lost.checkpoints === 0) return []
  const parts = lost.branches.map(
    (branch) => `${branch.command.join(' ').slice(0, 60)} (${branch.run}) while it ran`,
  )
  if (lost.checkpoints > 0) parts.push(`${lost.checkpoints} checkpoint${lost.checkpoints === 1 ? '' : 's'}`)
  return [`the daemon before this one was killed; lost: ${parts.join(', ')}`]
}

/** The daemon's whole life, up to the end of its process. */
export async function runDaemon<Made extends RunsPort & AsyncDisposable>(rooms: Rooms<Made>): Promise<void> {
  try {
    await serve(rooms)
  } catch (error) {
    const known = ThawError.from(error)
    if (known.code === 'INTERNAL') process.stderr.write(`${known.stack}\n`)
    tell({ t: 'failed', error: known.toBody() })
    process.exit(1)
  }
}
