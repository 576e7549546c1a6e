import type { BelowEntry, RunReport } from '@thaw/protocol'

/** Where a program runs that is not in a process of its own among the others: what begins there takes longer. */
const PLACES: Readonly<Record<string, string>> = { process: ' in a sandbox', vm: ' in a machine' }

/** The one line that thaw says after a run, without its `thaw: `. */
export function summaryLine(report: RunReport, command: readonly string[] = []): string {
  const { outcome, checkpoint, seconds } = report
  const time = formatSeconds(seconds.total)
  const instead = seconds.cold_estimate === null ? '' : ` instead of ${formatSeconds(seconds.cold_estimate)}`
  const where = PLACES[report.engine] ?? ''
  const kept = report.kept_effects.length === 0 ? '' : `; kept: ${report.kept_effects.join(', ')}`
  if (outcome === 'replayed') return `nothing changed, output replayed, ${time}${instead}${kept}`
  if (outcome === 'stopped') {
    const id = checkpoint?.id ?? ''
    return `stopped ${placeOf(checkpoint)}, ${time}: thaw resume ${id}${kept}`
  }
  if (outcome === 'resumed') {
    const several =
      report.branches === undefined || report.branches.length < 2 ? '' : branchesOf(report.branches)
    // A run says why it began no later in its report; what a stop or a hot resume could not do is said at once.
    // Where next to nothing was won, the reason is what people ask for.
    const lost = seconds.cold_estimate !== null && seconds.total > 0.75 * seconds.cold_estimate
    const silent = report.branches === undefined && !isMissed(report.reason) && !lost
    const told = silent ? '' : reasonOf(report.reason)
    const compared = report.branches === undefined ? instead : ''
    return `resumed${where} ${placeOf(checkpoint)}${several}, ${time}${compared}${told}${kept}`
  }
  if (report.below !== undefined) {
    const name = command[0]?.slice(command[0].lastIndexOf('/') + 1) ?? 'it'
    return `ran ${belowLine(report.below, name)}, ${time}${kept}`
  }
  const why = report.reason === null ? '' : `: ${report.reason}`
  return `ran cold${where}, ${time}${why}${kept}`
}

function branchesOf(branches: NonNullable<RunReport['branches']>): string {
  const failed = branches.filter(({ exit }) => exit !== null && (exit.code !== 0 || exit.signal !== null))
  return ` ${branches.length} times${failed.length === 0 ? '' : `, ${failed.length} failed`}`
}

function isMissed(reason: string | null): boolean {
  return reason !== null && /^it (could not stop|never came)/.test(reason)
}

function reasonOf(reason: string | null): string {
  return reason === null ? '' : `; ${reason}`
}

/** 3 Python commands below make: 2 replayed, 1 resumed. */
function belowLine(below: readonly BelowEntry[], name: string): string {
  const kinds = ['replayed', 'resumed', 'stopped', 'cold', null] as const
  const counts = kinds.flatMap((kind) => {
    const some = below.filter((entry) => entry.outcome === kind)
    if (some.length === 0) return []
    const reasons = [...new Set(some.map((entry) => entry.reason))]
    const why = kind === null ? `plainly, as ${reasons[0]}` : kind
    return [`${some.length} ${why}`]
  })
  const what = below.length === 1 ? 'Python command' : 'Python commands'
  return `${below.length} ${what} below ${name}: ${counts.join(', ')}`
}

function placeOf(checkpoint: RunReport['checkpoint']): string {
  if (checkpoint === null) return 'before the start'
  const { before, file, line, at_seconds } = checkpoint
  // A program whose code is not known.
  if (before === null) return `at ${formatSeconds(at_seconds)}`
  const where = file === null ? '' : line === null ? file : `${file}:${line}`
  if (before === '<module>') return `before ${where === '' ? 'the start' : where}`
  const name = before.startsWith('<') ? before : `${before.replace(/#0$/, '')}()`
  return `before ${where === '' ? name : `${name} (${where})`}`
}

/** Seconds as people write them: 4 ms, 0.31 s, 12.4 s, 3 min 20 s. */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`
  if (seconds < 119.5) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
