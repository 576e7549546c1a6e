import { ThawError } from '@thaw/protocol/errors'
import { WEBSOCKET } from '@thaw/protocol/frames'
import type { Connection } from './frame-stream.js'

/** What is used of the WebSocket of browsers, of Node 22, and of the package `ws`. */
export interface WebSocketLike {
  binaryType: string
  readonly readyState: number
  send(bytes: Uint8Array<ArrayBuffer>): void
  close(): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'open' | 'close' | 'error', listener: () => void): void
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike

const OPEN = 1

/**
 * @param url with ws: or wss:
 * @throws ThawError DAEMON_UNREACHABLE: more than that a WebSocket does not tell
 */
export async function connectWebSocket(
  Socket: WebSocketClass,
  url: string,
  token: string | undefined,
): Promise<Connection> {
  const protocols = [WEBSOCKET.protocol, ...(token === undefined ? [] : [`${WEBSOCKET.token}${token}`])]
  const socket = new Socket(url, protocols)
  socket.binaryType = 'arraybuffer'
  const connection = new WebSocketConnection(socket)
  await new Promise<void>((resolve, reject) => {
    const refused = () => reject(new ThawError('DAEMON_UNREACHABLE', `No WebSocket of ${url} opens.`))
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', refused)
    socket.addEventListener('close', refused)
  })
  return connection
}

class WebSocketConnection implements Connection {
  readonly #socket: WebSocketLike
  readonly #data: ((chunk: Uint8Array) => void)[] = []
  readonly #waiting: Uint8Array[] = []
  #paused = false

  constructor(socket: WebSocketLike) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return
      this.#waiting.push(new Uint8Array(data))
      this.#deliver()
    })
  }

  get writable(): boolean {
    return this.#socket.readyState === OPEN
  }

  write(bytes: Uint8Array): void {
    if (this.writable) this.#socket.send(new Uint8Array(bytes))
  }

  /** A WebSocket of a browser cannot be made to wait: what arrives meanwhile is kept here. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#deliver()
  }

  end(): void {
    this.#socket.close()
  }

  destroy(): void {
    this.#socket.close()
  }

  on(event: 'data' | 'close' | 'error', listener: (chunk: Uint8Array) => void): void {
    if (event === 'data') {
      this.#data.push(listener)
      this.#deliver()
    } else this.#socket.addEventListener(event, () => listener(new Uint8Array()))
  }

  #deliver(): void {
    if (this.#data.length === 0) return
    while (!this.#paused) {
      const chunk = this.#waiting.shift()
      if (chunk === undefined) return
      for (const listener of this.#data) listener(chunk)
    }
  }
}
