import { randomBytes } from 'node:crypto'
import { ThawError } from '../system/index.js'

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
  if (one === undefined) throw new ThawError('INSTANCE_NOT_FOUND', `There is no ${what} ${given}.`)
  return one
}
