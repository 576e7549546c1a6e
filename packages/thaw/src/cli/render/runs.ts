import type { BranchNode, CheckpointNode, RunReport, RunSummary } from '@thaw/protocol'
import { table } from './table.js'
import { place } from './tree.js'
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
    lines.push(['last outcome', `${outcome}${placeOf(checkpoint)}`])
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
  return fields(lines)
}

export function renderCheckpoint(node: CheckpointNode): string {
  return fields([
    ['checkpoint', node.id],
    ...(node.name === null ? [] : [['name', node.name] as [string, string]]),
    ['of run', node.run],
    ['in branch', node.branch],
    ['after', node.parent ?? 'the start'],
    ['where', `${PLACES[node.kind]} ${place(node.before)}`],
    ['work before', seconds(node.at_seconds)],
    ['memory', bytes(node.memory_bytes) || 'not measured'],
    ['state', STATES[node.state]],
    ['taken', node.created_at],
    ...node.not_covered.map((what): [string, string] => ['not covered', what]),
  ])
}

export function renderBranch(node: BranchNode): string {
  return fields([
    ['branch', node.id],
    ['of run', node.run],
    ['began by', node.kind === 'run' ? 'thaw run' : `thaw resume, ${node.kind}`],
    ['went on from', node.from ?? 'the start'],
    ['state', `${node.state} ${exit(node.exit)}`.trim()],
    ...(node.pid === null ? [] : [['pid', String(node.pid)] as [string, string]]),
    ...(node.outcome === null ? [] : [['outcome', node.outcome] as [string, string]]),
    ['started', node.started_at],
    ['ended', node.ended_at ?? 'not yet'],
  ])
}

const PLACES = {
  moment: 'before',
  stop: 'stopped before',
  mark: 'asked for in',
  asked: 'asked for in',
} as const
const STATES = {
  parked: 'parked: `thaw resume` goes on from it',
  dropped: 'dropped: given up to save memory, or with its run',
  lost: 'lost: its process ended, or its daemon',
} as const

function fields(lines: readonly [string, string][]): string {
  return lines.map(([name, value]) => `${name.padEnd(13)} ${value}\n`).join('')
}

function placeOf(checkpoint: RunReport['checkpoint']): string {
  if (checkpoint === null) return ''
  const { id, before, at_seconds } = checkpoint
  return before === null ? ` at ${seconds(at_seconds)} (${id})` : ` before ${before} (${id})`
}
