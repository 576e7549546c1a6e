import { randomBytes } from 'node:crypto'
import { ThawError, type ErrorCode } from '../system/index.js'

/** `img`: an image; `i`: an instance; `ic`: a checkpoint of one; `s`: a snapshot; `p`: a pool. */
export function newId(kind: 'img' | 'i' | 'ic' | 's' | 'p'): string {
  return `${kind}_${BigInt(`0x${randomBytes(8).toString('hex')}`)
    .toString(36)
    .padStart(13, '0')}`
}

/** Whether a thing is meant by what a user typed: its name, its id, or the beginning of that. */
export function fits(given: string, id: string): boolean {
  const kind = id.slice(0, id.indexOf('_') + 1)
  return id.startsWith(given.startsWith(kind) ? given : kind + given)
}

/** That there is none of that name, with the names that are nearest to it. */
export function notFound(
  code: ErrorCode,
  what: string,
  given: string,
  all: readonly { id: string; name: string | null }[],
): ThawError {
  const near = all
    .map(({ id, name }) => {
      const text = given.startsWith(id.slice(0, id.indexOf('_') + 1)) ? id : (name ?? id)
      // Of a long name the beginning may be all that was typed.
      return { text, apart: distance(given, text.slice(0, given.length + 2)) }
    })
    .filter(({ apart }) => apart <= Math.max(2, given.length / 2))
    .toSorted((a, b) => a.apart - b.apart)
    .slice(0, 3)
    .map(({ text }) => text)
  const nearest = near.length === 0 ? '' : ` Nearest: ${near.join(', ')}.`
  return new ThawError(code, `There is no ${what} ${given}.${nearest}`, { details: { nearest: near } })
}

/** Levenshtein's: how many letters are to be changed, added or removed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const changed = (row[j] ?? 0) + (b[j] === letter ? 0 : 1)
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/**
 * The one that is meant by its name, its id, or the beginning of that.
 *
 * @throws ThawError INSTANCE_NOT_FOUND, AMBIGUOUS_ID
 */
export function pick<T extends { id: string; name: string }>(
  all: readonly T[],
  given: string,
  what: string,
): T {
  const exact = all.find(({ id, name }) => name === given || id === given)
  if (exact !== undefined) return exact
  const found = all.filter(({ id }) => fits(given, id))
  if (found.length > 1) {
    throw new ThawError('AMBIGUOUS_ID', `${given} fits ${found.map(({ id }) => id).join(', ')}.`)
  }
  const [one] = found
  if (one === undefined) throw notFound('INSTANCE_NOT_FOUND', what, given, all)
  return one
}
