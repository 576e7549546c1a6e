/** Words that answers have in common. */
import type { RunReport } from '@thaw/protocol'

/** Items of a listing in one answer. */
export const LISTED = 20

/** @param which of them are shown when there are too many; `lines` are those, or all @param all how many there are */
export function listing(lines: readonly string[], which: string, all = lines.length): string {
  const shown = lines.slice(0, LISTED)
  return all > shown.length ? `${shown.join('\n')}\n(${all} in all; ${which} are shown)` : shown.join('\n')
}

export const exitText = (exit: RunReport['exit']) =>
  exit === null ? 'not ended' : exit.signal === null ? `exit ${exit.code}` : `ended by ${exit.signal}`
