/** What there is to tell of runs, from the journal and from what is in memory. */
import {
  BranchKind,
  CheckpointKind,
  type BranchNode,
  type CheckpointNode,
  type RunSummary,
  type RunTree,
} from '@thaw/protocol'
import { z } from 'zod'
import type { Journal, RunRow } from '../store/index.js'
import { ThawError } from '../system/index.js'
import { outlasts } from './kept.js'
import type { Workshop } from './workshop.js'

const iso = (ms: number) => new Date(ms).toISOString()

export function summaryOf(shop: Workshop, journal: Journal, row: RunRow): RunSummary {
  const run = shop.runs.get(row.id)
  const parked = run?.parked() ?? []
  const onDisk = journal.listCheckpoints(row.id).flatMap((one) => (outlasts(one) ? [one.id] : []))
  const live = [...shop.live.values()].some((entry) => entry.run.identity.id === row.id)
  const last = journal.lastOutcome(row.id)
  const lost = last === undefined && journal.listBranches(row.id).some((branch) => branch.state === 'lost')
  return {
    id: row.id,
    command: row.command,
    cwd: row.cwd,
    interpreter: row.interpreter,
    state: live ? 'live' : lost ? 'lost' : 'ended',
    created_at: iso(row.createdAt),
    last_at: iso(row.lastAt),
    times_run: row.timesRun,
    outcome: last?.outcome ?? null,
    exit: last?.exit ?? null,
    checkpoints: new Set([...parked.map(({ id }) => id), ...onDisk]).size,
    memory_bytes: parked.reduce((sum, c) => sum + (c.memory ?? 0), 0),
  }
}

/** @throws ThawError RUN_NOT_FOUND */
export function treeOf(shop: Workshop, journal: Journal, id: string): RunTree {
  const row = journal.getRun(id)
  if (row === undefined) throw new ThawError('RUN_NOT_FOUND', `There is no run ${id}.`)
  const branches = journal.listBranches(id).map((branch): BranchNode => {
    const report = journal.getOutcome(branch.id)
    return {
      id: branch.id,
      run: branch.run,
      kind: BranchKind.catch('run').parse(fieldOf(branch.data, 'kind')),
      from: branch.from,
      state: branch.state,
      pid: branch.pid,
      started_at: iso(branch.startedAt),
      ended_at: branch.endedAt === null ? null : iso(branch.endedAt),
      outcome: report?.outcome ?? null,
      exit: branch.state === 'ended' ? { code: branch.exitCode, signal: branch.exitSignal } : null,
    }
  })
  const memory = new Map(
    shop.runs
      .get(id)
      ?.parked()
      .map((c) => [c.id, c.memory]),
  )
  const checkpoints = journal.listCheckpoints(id).map((c): CheckpointNode => ({
    id: c.id,
    run: c.run,
    branch: c.branch,
    parent: c.parent,
    kind: CheckpointKind.catch('moment').parse(fieldOf(c.data, 'kind')),
    name: nameOf(c.data),
    before: { unit: c.unit, file: c.file, line: c.line },
    at_seconds: c.atSeconds,
    memory_bytes: memory.get(c.id) ?? c.memoryBytes,
    state: c.state,
    created_at: iso(c.createdAt),
    not_covered: z.array(z.string()).catch([]).parse(fieldOf(c.data, 'notCovered')),
  }))
  const refusals = branches.flatMap((branch) =>
    journal
      .listRefusals(branch.id)
      .map(({ atSeconds, why }) => ({ branch: branch.id, at_seconds: atSeconds, why })),
  )
  return { run: summaryOf(shop, journal, row), branches, checkpoints, refusals }
}

function fieldOf(data: unknown, name: string): unknown {
  return typeof data === 'object' && data !== null ? (data as Record<string, unknown>)[name] : undefined
}

function nameOf(data: unknown): string | null {
  const name = fieldOf(data, 'name')
  return typeof name === 'string' ? name : null
}
