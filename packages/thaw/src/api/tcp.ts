/** The listener that is there only when asked for. */
import { createServer, type Server as HttpServer } from 'node:http'
import { isIP, type AddressInfo, type Socket } from 'node:net'
import type { ListenRequest, TcpAddress } from '@thaw/protocol'
import { ThawError } from '../system/index.js'
import type { Access } from './access.js'

/** Connections at a time, idle ones included. */
const MOST_CONNECTIONS = 512

export class TcpListener implements AsyncDisposable {
  readonly #access: Access
  readonly #handle: (server: HttpServer) => void
  readonly #sockets = new Set<Socket>()
  #server: HttpServer | null = null
  #address: TcpAddress | null = null
  #opening: Promise<unknown> = Promise.resolve()

  /** @param handle puts the API's handlers on a server */
  constructor(access: Access, handle: (server: HttpServer) => void) {
    this.#access = access
    this.#handle = handle
  }

  get address(): TcpAddress | null {
    return this.#address
  }

  /**
   * Listens, in addition to the socket. What it listens on already is no error when it is the same.
   *
   * @throws ThawError TOKEN_REQUIRED, LISTEN_FAILED
   */
  open(request: ListenRequest): Promise<TcpAddress> {
    const opened = this.#opening.then(() => this.#open(request))
    this.#opening = opened.catch(() => {})
    return opened
  }

  async #open({ host: given, port, tokens }: ListenRequest): Promise<TcpAddress> {
    const host = given === 'localhost' ? '127.0.0.1' : given.replace(/^\[(.*)\]$/, '$1')
    if (isIP(host) === 0) {
      throw new ThawError('LISTEN_FAILED', `${given} is not an IP address.`, {
        hint: 'Give an address of this machine, such as 127.0.0.1 or 0.0.0.0.',
      })
    }
    if (!tokens && !isLoopback(host)) {
      throw new ThawError('TOKEN_REQUIRED', `${host} can be reached by others.`)
    }
    const now = this.#address
    if (now !== null) {
      if (now.host === host && (port === 0 || now.port === port) && now.tokens === tokens) return now
      throw new ThawError(
        'LISTEN_FAILED',
        `The daemon listens on ${addressText(now)} ${now.tokens ? 'with tokens' : 'without a token'} already.`,
        { hint: 'Use that, or end the daemon with `thaw daemon stop` first.' },
      )
    }
    const server = createServer()
    server.maxConnections = MOST_CONNECTIONS
    server.on('connection', (socket: Socket) => {
      this.#access.accept(socket, { tokens })
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#handle(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${error.code})`
        reject(new ThawError('LISTEN_FAILED', `${host} port ${port} ${why}.`, { cause: error }))
      })
      server.listen({ host, port }, resolve)
    })
    this.#server = server
    return (this.#address = { host, port: (server.address() as AddressInfo).port, tokens })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opening
    const server = this.#server
    if (server === null) return
    for (const socket of this.#sockets) socket.destroySoon()
    await new Promise((resolve) => server.close(resolve))
  }
}

export const addressText = ({ host, port }: TcpAddress) =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`

function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.')
}
