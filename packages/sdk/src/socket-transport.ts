import { ThawError } from '@thaw/protocol/errors'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { cancelled, lost, parse } from './fetch-transport.js'
import { connectStream } from './run-stream.js'
import type { Method, RequestOptions, Transport } from './transport.js'

/**
 * Over the daemon's unix socket.
 *
 * @param build when given, a daemon of another build refuses with VERSION_MISMATCH
 */
export function socketTransport(socketPath: string, build?: string): Transport {
  const send = (method: Method, path: string, options: RequestOptions = {}): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const { signal } = options
      const text = options.body === undefined ? undefined : JSON.stringify(options.body)
      const headers: Record<string, string | number> = { ...options.headers }
      if (build !== undefined) headers['thaw-build'] = build
      if (options.content !== undefined) headers['content-type'] = 'application/octet-stream'
      if (text !== undefined) {
        headers['content-type'] = 'application/json'
        headers['content-length'] = Buffer.byteLength(text)
      }
      const request = httpRequest({
        socketPath,
        method,
        path,
        headers,
        agent: false,
        ...(signal === undefined ? {} : { signal }),
      })
      request.on('response', resolve)
      request.on('error', (error: NodeJS.ErrnoException) => {
        const why = `No daemon answers on ${socketPath} (${error.code ?? error.message}).`
        reject(
          signal?.aborted === true
            ? cancelled(error)
            : new ThawError('DAEMON_UNREACHABLE', why, { cause: error, details: { errno: error.code } }),
        )
      })
      if (options.content === undefined) request.end(text)
      else pipeline(streamOf(options.content), request).catch(() => {})
    })
  const json = async (answer: IncomingMessage, signal?: AbortSignal): Promise<unknown> => {
    const parts: Buffer[] = []
    try {
      for await (const part of answer) parts.push(part as Buffer)
    } catch (error) {
      throw signal?.aborted === true ? cancelled(error) : lost(error)
    }
    return parse(Buffer.concat(parts).toString('utf8'))
  }
  return {
    request: async (method, path, options) => {
      const answer = await send(method, path, options)
      return { status: answer.statusCode ?? 0, body: await json(answer, options?.signal) }
    },
    bytes: async function* (path, options) {
      const answer = await send(options?.method ?? 'GET', path, options)
      if (answer.statusCode !== 200) throw ThawError.fromBody(await json(answer))
      try {
        yield* answer as AsyncIterable<Uint8Array>
      } catch (error) {
        throw options?.signal?.aborted === true ? cancelled(error) : lost(error)
      } finally {
        answer.destroy()
      }
    },
    connect: (path) => connectStream(socketPath, path, build),
  }
}

const streamOf = (content: NonNullable<RequestOptions['content']>) =>
  content instanceof Blob ? content.stream() : content
