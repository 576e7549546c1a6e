/** SSH for editors and hands: `ssh -p PORT SERVICE@127.0.0.1`. Terminals and commands; no files, no forwarding. */
import { SHELL, type ExecRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { RunStream } from '@thaw/sdk/run-stream'
import type { AddressInfo } from 'node:net'
import ssh2, { type Connection, type PseudoTtyInfo, type Session } from 'ssh2'
import { signalCode } from '../../system/exit-code.js'
import type { Paths } from '../../system/paths.js'
import { BUILD, VERSION } from '../../version.js'
import { ask } from '../client.js'
import { withDaemon } from '../connect.js'
import { serveChannel, type Connect } from './channel.js'
import { authorizedKeys, findKey } from './keys.js'

/** Milliseconds until a connection has to have shown a key. */
const LOGIN = 20_000
/** Keys that one connection may offer. */
const TRIES = 20
/** Connections at a time. */
const MOST = 64
/** Milliseconds between two questions whether the other side is still there. */
const KEEP_ALIVE = 30_000
/** Variables that a client may set; TERM comes with its terminal. */
const VARIABLES = /^(?:LANG|LC_\w+|COLORTERM|TZ)$/

export interface SshServer extends AsyncDisposable {
  readonly port: number
}

export interface SshSpec {
  paths: Pick<Paths, 'socket' | 'runtime'> & Paths
  hostKey: string
  /** Read at every login. */
  keys: string
  address: string
  port: number
  log: (line: string) => void
}

/** @throws ThawError PORT_IN_USE, LISTEN_FAILED */
export async function serveSsh(spec: SshSpec): Promise<SshServer> {
  const { hostKey, address, port, log } = spec
  const connections = new Set<Connection>()
  const server = new ssh2.Server(
    { hostKeys: [hostKey], ident: `thaw_${VERSION}`, keepaliveInterval: KEEP_ALIVE, keepaliveCountMax: 2 },
    (connection) => {
      if (connections.size >= MOST) return void connection.end()
      connections.add(connection)
      connection.on('close', () => connections.delete(connection))
      connection.on('error', () => {})
      serveConnection(connection, spec)
    },
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EADDRINUSE' ? 'PORT_IN_USE' : 'LISTEN_FAILED'
      reject(
        new ThawError(code, `${address}:${port} cannot be listened on (${error.code ?? error.message}).`),
      )
    })
    server.listen(port, address, resolve)
  })
  server.on('error', (error: Error) => log(error.message))
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const one of connections) one.end()
      await closed
    },
  }
}

function serveConnection(connection: Connection, { keys: file, paths, log }: SshSpec): void {
  const timer = setTimeout(() => connection.end(), LOGIN)
  connection.on('close', () => clearTimeout(timer))
  let name = ''
  let tries = 0
  connection.on('authentication', (login) => {
    if (login.method !== 'publickey') return login.reject(['publickey'])
    if (++tries > TRIES) return void connection.end()
    let known
    try {
      const { keys, passedOver } = authorizedKeys(file)
      for (const one of passedOver) log(`passed over: ${one}`)
      known = findKey(keys, login.key.algo, login.key.data)
    } catch (error) {
      log((error as Error).message)
    }
    const { blob, signature, hashAlgo } = login
    const isGood =
      known !== undefined &&
      (signature === undefined || known.verify(blob as Buffer, signature, hashAlgo) === true)
    if (!isGood) return login.reject(['publickey'])
    if (signature !== undefined) name = login.username
    login.accept()
  })
  connection.on('ready', () => {
    clearTimeout(timer)
    log(`${name}: connected`)
    connection.on('session', (accept) => serveSession(accept(), name, paths))
  })
}

function serveSession(session: Session, name: string, paths: Paths): void {
  const env: Record<string, string> = {}
  let terminal: PseudoTtyInfo | null = null
  let resize = (_rows: number, _cols: number) => {}
  let signal = (_name: string) => {}
  session.on('env', (accept, _reject, { key, val }) => {
    if (VARIABLES.test(key)) env[key] = val
    accept?.()
  })
  session.on('pty', (accept, _reject, info) => {
    terminal = info
    const { term } = info as { term?: string }
    if (term !== undefined && term !== '') env['TERM'] = term
    accept()
  })
  session.on('window-change', (accept, _reject, { rows, cols }) => {
    resize(rows, cols)
    accept?.()
  })
  session.on('signal', (accept, _reject, { name: what }) => {
    signal(`SIG${what}`)
    accept?.()
  })
  const begin = async (channel: ssh2.ServerChannel, command: readonly string[]): Promise<void> => {
    const { rows = 24, cols = 80 } = terminal ?? {}
    const size = { rows: rows || 24, cols: cols || 80 }
    const request: ExecRequestInput = {
      command: [...command],
      env,
      stdin: 'stream',
      terminal: terminal === null ? null : size,
    }
    channel.on('error', () => {})
    let code = 0
    try {
      const stream = await serveChannel(channel, request, await connectTo(name, paths))
      resize = (to, wide) => stream.resize(to, wide)
      signal = (what) => stream.signal(what)
      const end = await stream.done
      if (end.t !== 'exited')
        throw new ThawError('INTERNAL', 'The stream of a command ended as that of a run.')
      code = end.exit.code ?? signalCode(end.exit.signal as NodeJS.Signals)
    } catch (error) {
      const known = ThawError.from(error)
      channel.stderr.write(`thaw: ${known.code}: ${known.message} ${known.hint}\r\n`)
      code = known.exitCode
    }
    if (channel.destroyed) return
    channel.exit(code)
    channel.end()
  }
  session.on('shell', (accept) => void begin(accept(), SHELL))
  session.on('exec', (accept, _reject, { command }) => void begin(accept(), ['sh', '-c', command]))
}

/** The service of a name, else the instance. @throws ThawError SERVICE_NOT_FOUND */
async function connectTo(name: string, paths: Paths): Promise<Connect> {
  const isService = await has(() => ask((client) => client.services.get(name)))
  if (!isService && !(await has(() => ask((client) => client.instances.get(name))))) {
    throw new ThawError('SERVICE_NOT_FOUND', `There is no service, and no instance, ${name}.`)
  }
  const path = isService
    ? `/v1/services/${encodeURIComponent(name)}/exec/stream`
    : `/v1/instances/${encodeURIComponent(name)}/exec/stream`
  return (first, handlers) =>
    withDaemon(paths, () => RunStream.open(paths.socket, path, first, handlers, BUILD))
}

async function has(look: () => Promise<unknown>): Promise<boolean> {
  try {
    await look()
    return true
  } catch (error) {
    if (error instanceof ThawError && error.code.endsWith('_NOT_FOUND')) return false
    throw error
  }
}
