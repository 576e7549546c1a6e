import { ThawError } from '@thaw/protocol/errors'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Transport } from './transport.js'

/** Over the daemon's unix socket. */
export function socketTransport(socketPath: string): Transport {
  const send = (method: string, path: string, body?: unknown): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const headers =
        text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      const request = httpRequest({ socketPath, method, path, headers, agent: false })
      request.on('response', resolve)
      request.on('error', (error: NodeJS.ErrnoException) => {
        const why = `No daemon answers on ${socketPath} (${error.code ?? error.message}).`
        reject(new ThawError('DAEMON_UNREACHABLE', why, { cause: error, details: { errno: error.code } }))
      })
      request.end(text)
    })
  const json = async (answer: IncomingMessage): Promise<unknown> => {
    const parts: Buffer[] = []
    for await (const part of answer) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString('utf8')
    try {
      return JSON.parse(text)
    } catch {
      return text
    }
  }
  return {
    request: async (method, path, body) => {
      const answer = await send(method, path, body)
      return { status: answer.statusCode ?? 0, body: await json(answer) }
    },
    bytes: async function* (path) {
      const answer = await send('GET', path)
      if (answer.statusCode !== 200) throw ThawError.fromBody(await json(answer))
      yield* answer as AsyncIterable<Uint8Array>
    },
  }
}
