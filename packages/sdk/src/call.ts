import { ThawError } from '@thaw/protocol'
import type { z } from 'zod'
import type { Method, RequestOptions, Transport } from './transport.js'

/** One call, its answer checked. */
export type Call = <S extends z.ZodType>(
  method: Method,
  path: string,
  schema: S,
  options?: RequestOptions,
) => Promise<z.output<S>>

export function callOver(transport: Transport): Call {
  return async (method, path, schema, options) => {
    const answer = await transport.request(method, path, options)
    if (answer.status < 200 || answer.status > 299) throw ThawError.fromBody(answer.body)
    const parsed = schema.safeParse(answer.body)
    if (parsed.success) return parsed.data
    throw new ThawError(
      'VERSION_MISMATCH',
      `The daemon's answer to ${method} ${path} does not fit this client.`,
      { cause: parsed.error },
    )
  }
}

/** An id as part of a path. */
export const at = (id: string) => encodeURIComponent(id)

/** A query, with its question mark; what is undefined is left out. */
export function query(values: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(values).flatMap(([name, value]) => {
    return value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]
  })
  return given.length === 0 ? '' : `?${given.join('&')}`
}

/** All items of a listing, page by page. */
export async function* pages<T>(
  load: (cursor: string | undefined) => Promise<{ items: T[]; next: string | null }>,
): AsyncGenerator<T> {
  let cursor: string | undefined
  do {
    const { items, next } = await load(cursor)
    yield* items
    cursor = next ?? undefined
  } while (cursor !== undefined)
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}
