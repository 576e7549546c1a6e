/** Bodies that are bytes: files and archives, which are not collected in memory. */
import type { FastifyInstance } from 'fastify'
import { Readable } from 'node:stream'

export function acceptBytes(app: FastifyInstance): void {
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))
}

/** What a request has sent as bytes; nothing when it sent none. */
export function bytesOf(body: unknown): AsyncIterable<Uint8Array> {
  return body instanceof Readable ? body : Readable.from([])
}
