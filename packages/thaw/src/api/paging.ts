import type { PageQuery } from '@thaw/protocol'
import { ThawError } from '../system/index.js'

/**
 * The page of a list that a query asks for. The order is that of `key`, largest first, so that what is added or
 * removed meanwhile neither repeats nor hides another item.
 *
 * @param key unique; sorts as text
 * @throws ThawError INVALID_REQUEST for a cursor that is none
 */
export function pageOf<T>(
  items: readonly T[],
  { limit, cursor }: PageQuery,
  key: (item: T) => string,
): { items: T[]; next: string | null } {
  const after = cursor === undefined ? null : decode(cursor)
  const keyed = items.map((item) => ({ item, key: key(item) }))
  const left = after === null ? keyed : keyed.filter((one) => one.key < after)
  left.sort((a, b) => (a.key < b.key ? 1 : -1))
  const page = left.slice(0, limit)
  const last = page.at(-1)
  const next = left.length > limit && last !== undefined ? encode(last.key) : null
  return { items: page.map(({ item }) => item), next }
}

/** A key that sorts by a time, then by an id. @param at milliseconds since 1970 */
export function timeKey(at: number, id: string): string {
  return `${String(at).padStart(16, '0')} ${id}`
}

const encode = (key: string) => Buffer.from(`p${key}`).toString('base64url')

function decode(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8')
  if (!text.startsWith('p') || encode(text.slice(1)) !== cursor) {
    throw new ThawError('INVALID_REQUEST', 'The cursor is none that a page has named.')
  }
  return text.slice(1)
}
