import type { RunReport, RunSummary } from '@thaw/protocol'
import { table } from './table.js'
import { ago, bytes, command, exit, seconds } from './units.js'

export function renderRuns(runs: readonly RunSummary[]): string {
  if (runs.length === 0) return 'No runs yet. Put `thaw run` in front of a command: thaw run python3 app.py\n'
  return table(
    ['RUN', 'COMMAND', 'STATE', 'LAST', 'OUTCOME', 'CHECKPOINTS', 'MEMORY', 'DIRECTORY'],
    runs.map((run) => [
      run.id,
      command(run.command, 44),
      run.state === 'ended' ? exit(run.exit) || 'ended' : run.state,
      ago(run.last_at),
      run.outcome ?? '',
      String(run.checkpoints),
      run.memory_bytes === 0 ? '' : bytes(run.memory_bytes),
      run.cwd,
    ]),
  )
}

export function renderRun(run: RunSummary & { report: RunReport | null }): string {
  const lines: [string, string][] = [
    ['run', run.id],
    ['command', command(run.command, 10_000)],
    ['directory', run.cwd],
    ['interpreter', run.interpreter ?? 'not one that thaw knows: always run cold'],
    ['state', `${run.state} ${exit(run.exit)}`.trim()],
    ['first run', run.created_at],
    ['last run', `${run.last_at}, ${run.times_run} in all`],
    ['checkpoints', `${run.checkpoints} can be restored, ${bytes(run.memory_bytes)}`],
  ]
  const { report } = run
  if (report !== null) {
    const { outcome, checkpoint } = report
    const before = checkpoint === null ? '' : ` before ${checkpoint.before ?? 'the start'} (${checkpoint.id})`
    lines.push(['last outcome', `${outcome}${before}`])
    lines.push(['took', seconds(report.seconds.total)])
    if (report.seconds.cold_estimate !== null)
      lines.push(['cold', `about ${seconds(report.seconds.cold_estimate)}`])
    if (report.reason !== null) lines.push(['reason', report.reason])
    for (const change of report.changed) {
      lines.push([
        'changed',
        `${change.file}${change.unit === null ? '' : ` ${change.unit}`} (${change.kind})`,
      ])
    }
    for (const effect of report.kept_effects) lines.push(['kept', effect])
  }
  return lines.map(([name, value]) => `${name.padEnd(13)} ${value}\n`).join('')
}
