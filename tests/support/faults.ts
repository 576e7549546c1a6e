/** Something that happens at the Nth change of the file system: a kill, or a failure. */
import fs from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const SYNC = ['writeSync', 'fsyncSync', 'renameSync', 'rmSync', 'truncateSync', 'ftruncateSync'] as const
const ASYNC = ['rename', 'rm'] as const

/**
 * Calls `happen` in the place of the Nth change from now on.
 *
 * @returns how many changes there were; ends the watch
 */
export function atChange(n: number, happen: () => never): () => number {
  let changes = 0
  const count = () => {
    if (++changes === n) happen()
  }
  const restore: (() => void)[] = []
  const wrap = (object: Record<string, unknown>, name: string, counts: (...given: unknown[]) => boolean) => {
    const original = object[name] as (...given: unknown[]) => unknown
    object[name] = (...given: unknown[]) => {
      if (counts(...given)) count()
      return original(...given)
    }
    restore.push(() => (object[name] = original))
  }
  const writes = (_path: unknown, flags: unknown) => typeof flags === 'string' && flags !== 'r'
  const sync = fs as unknown as Record<string, unknown>
  const later = promises as unknown as Record<string, unknown>
  for (const name of SYNC) wrap(sync, name, () => true)
  for (const name of ASYNC) wrap(later, name, () => true)
  wrap(sync, 'openSync', writes)
  wrap(later, 'open', writes)
  syncBuiltinESMExports()
  return () => {
    for (const undo of restore) undo()
    syncBuiltinESMExports()
    return changes
  }
}
