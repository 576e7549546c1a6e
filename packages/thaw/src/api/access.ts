/** Who calls, and what they may do. The unix socket is its owner's; TCP needs a token, or a caller on this machine. */
import type { Scope } from '@thaw/protocol'
import { WEBSOCKET } from '@thaw/protocol/frames'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { ThawError } from '../system/index.js'
import type { Tokens } from './tokens.js'

const RANK: Record<Scope, number> = { read: 1, run: 2, admin: 3 }

/** Requests over TCP that are served at a time; what comes beyond is refused, not queued. */
const MOST_AT_ONCE = 128

/** What a route asks for; `public` is told to anybody who can connect. */
export type Needed = Scope | 'public'

export class Access {
  readonly #tokens: Tokens
  /** Sockets of the TCP listener, and whether it asks for tokens. */
  readonly #remote = new WeakMap<Socket, { tokens: boolean }>()
  #atOnce = 0

  constructor(tokens: Tokens) {
    this.#tokens = tokens
  }

  /** A connection over TCP. */
  accept(socket: Socket, how: { tokens: boolean }): void {
    this.#remote.set(socket, how)
  }

  isRemote(request: IncomingMessage): boolean {
    return this.#remote.has(request.socket)
  }

  /** Whether pages of other origins may read the answer: only where a token is what lets them. */
  isShared(request: IncomingMessage): boolean {
    return this.#remote.get(request.socket)?.tokens === true
  }

  /**
   * Who calls, as far as it matters to keep callers apart.
   *
   * @throws ThawError UNAUTHORIZED, FORBIDDEN
   */
  check(request: IncomingMessage, needed: Needed): string {
    const how = this.#remote.get(request.socket)
    if (how === undefined) {
      // A unix socket has no address; whatever has one came through the listener.
      if (request.socket.remoteAddress === undefined || needed === 'public') return 'owner'
      throw new ThawError('UNAUTHORIZED', 'The call came over a connection that is not known.')
    }
    if (!how.tokens) {
      checkLocal(request)
      return 'local'
    }
    if (needed === 'public') return 'anybody'
    const text = tokenOf(request)
    if (text === undefined) throw new ThawError('UNAUTHORIZED', 'The call carries no token.')
    const token = this.#tokens.find(text)
    if (token === undefined) throw new ThawError('UNAUTHORIZED', 'The token is wrong, or has ended.')
    if (RANK[token.scope] < RANK[needed]) {
      throw new ThawError(
        'FORBIDDEN',
        `The token ${token.name} has the scope ${token.scope}; this needs ${needed}.`,
        {
          details: { scope: token.scope, needed },
        },
      )
    }
    return token.id
  }

  /** @throws ThawError TOO_MANY_REQUESTS @returns what is to be called when the request is over */
  enter(request: IncomingMessage): () => void {
    if (!this.isRemote(request)) return () => {}
    if (this.#atOnce >= MOST_AT_ONCE) {
      throw new ThawError('TOO_MANY_REQUESTS', `${MOST_AT_ONCE} requests are being served.`)
    }
    this.#atOnce++
    let left = false
    return () => {
      if (!left) this.#atOnce--
      left = true
    }
  }
}

/** A page's WebSocket can carry it only among the protocols that it offers: there it is in no address, and in no log. */
function tokenOf({ headers }: IncomingMessage): string | undefined {
  const [, text] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? []
  if (text !== undefined || headers.upgrade?.toLowerCase() !== 'websocket') return text
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim())
  return offered.find((one) => one.startsWith(WEBSOCKET.token))?.slice(WEBSOCKET.token.length)
}

const LOCAL = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/**
 * Without tokens a page in the user's browser must not get through, neither by its own origin nor by a name that it
 * has made point here (DNS rebinding).
 */
function checkLocal(request: IncomingMessage): void {
  const { host, origin } = request.headers
  if (host === undefined || !LOCAL.test(host)) {
    throw new ThawError('FORBIDDEN', `The call is addressed to ${host ?? 'nobody'}, not to this machine.`, {
      hint: 'Call http://127.0.0.1:PORT or http://localhost:PORT.',
    })
  }
  if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`) {
    throw new ThawError('FORBIDDEN', `A page of ${origin} has made this call.`, {
      hint: 'Start the listener with tokens, and give the page one.',
    })
  }
}
