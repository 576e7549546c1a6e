/** Places at which a program is to stop, as people write them. */
import { ThawError } from '../system/index.js'
import type { BreakPlace } from '@thaw/protocol'

/**
 * `app.py:train`, `src/app.py:42`, `pkg.mod:Class.method`, each with `#N` for the Nth time.
 *
 * @throws ThawError PLACE_NOT_FOUND
 */
export function parseBreak(text: string): BreakPlace {
  const match = /^(.+):([^:#]+?)(?:#([1-9]\d{0,8}))?$/.exec(text)
  const [, source, what, times] = match ?? []
  const isLine = what !== undefined && /^\d+$/.test(what)
  if (source === undefined || what === undefined || (isLine && Number(what) < 1)) {
    throw new ThawError('PLACE_NOT_FOUND', `${text} is no place to stop at.`)
  }
  const isFile = source.endsWith('.py') || source.includes('/')
  return {
    text,
    file: isFile ? source : null,
    module: isFile ? null : source,
    name: isLine ? null : what,
    line: isLine ? Number(what) : null,
    count: Number(times ?? 1),
  }
}
