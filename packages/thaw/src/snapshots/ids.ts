import { randomBytes } from 'node:crypto'

/** `img`: an image; `i`: an instance; `ic`: a checkpoint of one. */
export function newId(kind: 'img' | 'i' | 'ic'): string {
  return `${kind}_${BigInt(`0x${randomBytes(8).toString('hex')}`)
    .toString(36)
    .padStart(13, '0')}`
}

/** Whether a thing is meant by what a user typed: its name, its id, or the beginning of that. */
export function fits(given: string, id: string): boolean {
  const kind = id.slice(0, id.indexOf('_') + 1)
  return id.startsWith(given.startsWith(kind) ? given : kind + given)
}
