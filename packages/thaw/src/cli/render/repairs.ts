import type { RepairSummary } from '@thaw/protocol'
import { table } from './table.js'

export function renderRepairs(repairs: readonly RepairSummary[]): string {
  if (repairs.length === 0) return 'There is no repair yet.\n'
  const rows = repairs.map(({ id, state, outcome, created_at, files, command }) => [
    id,
    outcome === null || state !== 'ended' ? state : outcome,
    created_at.slice(0, 19).replace('T', ' '),
    files.join(', '),
    command.join(' '),
  ])
  return table(['ID', 'OUTCOME', 'BEGAN', 'FILES', 'COMMAND'], rows)
}
