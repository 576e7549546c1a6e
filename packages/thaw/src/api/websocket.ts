/** Streams over WebSockets, for pages and whatever else speaks nothing lower. */
import { FRAME_LIMIT, WEBSOCKET } from '@thaw/protocol/frames'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocketServer, type WebSocket } from 'ws'
import { ThawError } from '../system/index.js'

/** Milliseconds between two questions whether the other side is still there. */
const PING_EVERY = 30_000
/** Bytes of a frame beside its payload. */
const HEADER = 5

const server = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: FRAME_LIMIT + HEADER,
  handleProtocols: () => WEBSOCKET.protocol,
})

/**
 * Answers the handshake, and hands over the bytes of the messages; every message that is sent holds whole frames.
 *
 * @throws ThawError UPGRADE_REQUIRED when protocols are offered of which none is known
 */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  serve: (stream: Duplex) => void,
): void {
  const offered = request.headers['sec-websocket-protocol']
  if (offered !== undefined && !offered.split(',').some((one) => one.trim() === WEBSOCKET.protocol)) {
    throw new ThawError('UPGRADE_REQUIRED', `None of the protocols is ${WEBSOCKET.protocol}.`)
  }
  server.handleUpgrade(request, socket, head, (ws) => {
    stayAwake(ws)
    const writev = (parts: { chunk: Uint8Array }[], done: (error?: Error) => void) =>
      ws.readyState === ws.OPEN ? ws.send(Buffer.concat(parts.map(({ chunk }) => chunk)), done) : done()
    serve(createWebSocketStream(ws, { writev }))
  })
}

/** A client that vanished without a word would keep its program, and through that its instance. */
function stayAwake(ws: WebSocket): void {
  let heard = true
  ws.on('pong', () => (heard = true))
  const timer = setInterval(() => {
    if (!heard) return ws.terminate()
    heard = false
    ws.ping()
  }, PING_EVERY)
  ws.on('close', () => clearInterval(timer))
}
