/** A call of a service as server-sent events: what it prints as it is printed, then what came of it. */
import type { FastifyReply } from 'fastify'
import { ThawError } from '../system/index.js'
import type { Called } from '../services/service.js'
import type { Printed } from '../services/party.js'

/** So long a reader may take nothing before he is given up; else he would hold the call back. Milliseconds. */
const PATIENCE = 30_000
const HEARTBEAT = 15_000

/** @param call is given where to print */
export async function streamCall(
  reply: FastifyReply,
  call: (printed: Printed) => Promise<Called>,
): Promise<void> {
  reply.hijack()
  const { raw } = reply
  raw.on('error', () => {})
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  raw.flushHeaders()
  const heartbeat = setInterval(() => raw.write(': still here\n\n'), HEARTBEAT)
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  const send = (event: string, data: string) => raw.write(`event: ${event}\ndata: ${data}\n\n`)
  const printed: Printed = (stream, bytes) => {
    const text = decoders[stream].decode(bytes, { stream: true })
    if (text === '' || raw.destroyed || send(stream, JSON.stringify({ text }))) return undefined
    return new Promise((resolve) => {
      const timer = setTimeout(() => raw.destroy(), PATIENCE)
      const done = () => {
        clearTimeout(timer)
        raw.off('drain', done)
        raw.off('close', done)
        resolve()
      }
      raw.once('drain', done)
      raw.once('close', done)
    })
  }
  try {
    const { kind, body, version, seconds, grown, stale, repaired } = await call(printed)
    const rest = JSON.stringify({ kind, version, seconds, memory_growth: grown, stale, repaired })
    // JSON stands as it is, in one line; bytes in base64.
    const result = kind === 'json' ? body.toString('utf8') : JSON.stringify(body.toString('base64'))
    send('result', `{"result":${result},${rest.slice(1)}`)
  } catch (error) {
    send('error', JSON.stringify(ThawError.from(error).toBody()))
  } finally {
    clearInterval(heartbeat)
    raw.end()
  }
}
