import type { RepairReport } from '@thaw/protocol'
import { formatSeconds } from './summary.js'

/** The one line that thaw says after a repair, without its `thaw: `. */
export function repairLine(report: RepairReport): string {
  const { outcome, attempts, files, seconds, tokens, dollars, verify } = report
  const time = formatSeconds(seconds.total)
  const failed = attempts.at(-1)?.failure?.summary
  const rounds = new Set(report.tried.map(({ round }) => round)).size
  const spent = tokens.read + tokens.written === 0 ? '' : `, ${tokens.read + tokens.written} tokens`
  const cost = dollars === null || dollars === 0 ? '' : `, ${dollars.toFixed(4)} dollars`
  const verified = verify === null ? '' : `, a cold run is ${verify.verdict}`
  const why = report.reason === null ? '' : `; ${report.reason}`
  if (outcome === 'succeeded') return `nothing to repair, ${time}${verified}${why}`
  if (outcome === 'repaired') {
    const what = files.length === 0 ? 'without an edit' : files.join(', ')
    const patch =
      report.patch === null ? '' : `; thaw repair undo ${report.id} takes it back (${report.patch})`
    return `repaired ${what} in ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, ${time}${spent}${cost}${verified}${patch}${why}`
  }
  const kept =
    files.length === 0 ? (rounds === 0 ? '' : ', files as before') : `, edits stay in ${files.join(', ')}`
  return `not repaired: ${failed}${why}; ${time}${spent}${cost}${kept}`
}
