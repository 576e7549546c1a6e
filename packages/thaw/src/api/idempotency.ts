/** A POST that is sent again with the same Idempotency-Key gets the answer of the first, and does nothing. */
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { ThawError } from '../system/index.js'

/** Keys remembered, and for how long (milliseconds); they end with the daemon, as do parked checkpoints. */
const MOST_KEYS = 1024
const KEPT = 24 * 3600 * 1000

interface Answer {
  status: number
  headers: Record<string, string>
  body: string
}

interface Entry {
  /** Of the request. */
  digest: string
  at: number
  /** Null when it came to nothing that may be repeated. */
  answer: Promise<Answer | null>
  settle(answer: Answer | null): void
}

const REPEATED = ['content-type', 'location'] as const

/** @param callerOf keeps the keys of different callers apart */
export function acceptKeys(app: FastifyInstance, callerOf: (request: FastifyRequest) => string): void {
  const entries = new Map<string, Entry>()
  const open = new WeakMap<FastifyRequest, string>()

  app.addHook('preHandler', async (request, reply) => {
    const key = request.headers['idempotency-key']
    if (request.method !== 'POST' || key === undefined) return
    if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
      throw new ThawError('INVALID_REQUEST', 'An Idempotency-Key is 1 to 255 visible ASCII characters.')
    }
    const id = `${callerOf(request)} ${key}`
    // Bytes are not read twice: there the key and the address say what is meant.
    const body = request.body instanceof Readable ? null : (request.body ?? null)
    const digest = createHash('sha256')
      .update(JSON.stringify([request.url, body]))
      .digest('hex')
    for (;;) {
      const known = entries.get(id)
      if (known === undefined || Date.now() - known.at > KEPT) break
      if (known.digest !== digest) {
        throw new ThawError('KEY_REUSED', `The Idempotency-Key ${key} belongs to another request.`)
      }
      const answer = await known.answer
      if (answer !== null) {
        return reply
          .status(answer.status)
          .headers({ ...answer.headers, 'idempotency-replayed': 'true' })
          .serializer((body: string) => body)
          .send(answer.body)
      }
      if (entries.get(id) === known) entries.delete(id)
    }
    let settle!: Entry['settle']
    const answer = new Promise<Answer | null>((resolve) => (settle = resolve))
    entries.delete(id)
    entries.set(id, { digest, at: Date.now(), answer, settle })
    const [oldest] = entries.keys()
    if (entries.size > MOST_KEYS && oldest !== undefined) entries.delete(oldest)
    open.set(request, id)
    return undefined
  })

  app.addHook('onSend', async (request, reply, payload) => {
    const id = open.get(request)
    if (id === undefined) return
    open.delete(request)
    const entry = entries.get(id)
    // Also when the caller has gone meanwhile: that is when he asks again. What failed may do better the next time; what streams cannot be kept.
    if (reply.statusCode >= 400 || typeof payload !== 'string') {
      entries.delete(id)
      entry?.settle(null)
      return
    }
    const headers = Object.fromEntries(
      REPEATED.flatMap((name) => {
        const value = reply.getHeader(name)
        return value === undefined ? [] : [[name, String(value)]]
      }),
    )
    entry?.settle({ status: reply.statusCode, headers, body: payload })
  })
}
