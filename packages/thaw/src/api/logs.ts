/** Recorded output, as bytes. */
import type { LogsQuery } from '@thaw/protocol'
import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { z } from 'zod'
import type { RunsPort } from './ports.js'

/** How an answer of bytes stands in the description of the API. */
export const LogBytes = {
  description: 'The bytes as they were printed.',
  content: { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } },
}

/** @param branch a whole id */
export function sendLogs(
  runs: RunsPort,
  branch: string,
  { stream, tail }: z.output<typeof LogsQuery>,
  reply: FastifyReply,
): void {
  const names = stream === 'both' ? (['stdout', 'stderr'] as const) : [stream]
  const parts = names.map((name) => runs.logs(branch, name))
  const bytes = concat(tail === undefined ? parts : parts.map((part) => tailOf(part, tail)))
  void reply.type('application/octet-stream').send(Readable.from(bytes, { objectMode: false }))
}

async function* concat(parts: readonly AsyncIterable<Uint8Array>[]): AsyncIterable<Uint8Array> {
  for (const part of parts) yield* part
}

/** The last bytes of it. */
export async function* tailOf(part: AsyncIterable<Uint8Array>, most: number): AsyncIterable<Uint8Array> {
  const kept: Uint8Array[] = []
  let size = 0
  for await (const chunk of part) {
    kept.push(chunk)
    size += chunk.length
    while (kept[0] !== undefined && size - kept[0].length >= most) size -= (kept.shift() as Uint8Array).length
  }
  const [first, ...rest] = kept
  if (first !== undefined) yield first.subarray(Math.max(0, size - most))
  yield* rest
}
