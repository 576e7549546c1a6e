import type { Verdict, VerifyReport } from '@thaw/protocol'
import { seconds } from './units.js'

const SAID: Record<Verdict, string> = {
  equal: 'equal',
  different: 'different',
  undetermined: "undetermined: the differences are the program's own, two cold runs differ there too",
}

/** Differences first, what came of it last. */
export function renderVerification(report: VerifyReport): string {
  const { verdict, differences, files, notes, bundle } = report
  const parts = differences.map(({ own, diff }) => (own ? `(two cold runs differ here too)\n${diff}` : diff))
  const compared = `stdout, stderr, exit code${files === 0 ? '' : ` and ${files} ${files === 1 ? 'file' : 'files'}`}`
  const { recorded, cold } = report.seconds
  parts.push(`${SAID[verdict]} (${compared}); under thaw ${seconds(recorded)}, cold ${seconds(cold)}\n`)
  parts.push(...notes.map((note) => `${note}\n`))
  if (bundle !== null) parts.push(`what reproduces it: ${bundle}\n`)
  return parts.join('')
}
