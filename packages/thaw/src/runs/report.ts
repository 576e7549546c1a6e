/** What a start has come to, for people and programs. */
import type { BelowEntry, Change, RunReport } from '@thaw/protocol'
import type { ColdReason } from '../system/index.js'
import type { Checkpoint } from './lineage.js'

/** What a start has come to, before the program's end is known. */
export interface Begun {
  outcome: RunReport['outcome']
  checkpoint: Checkpoint | null
  changed: Change[]
  reason: string | null
  effects: string[]
  planned: number
  restored: number
}

export interface ReportContext {
  run: string
  engine: RunReport['engine']
  /** How a file is named to the caller. */
  relative: (file: string) => string
  /** Seconds. */
  total: number
  program: number
  /** What a cold run would have taken; null when that is not known. */
  cold: number | null
  /** Programs that the command has started, and that became runs of their own. */
  below: BelowEntry[]
}

/** One reason of several. */
export const joined = (parts: readonly (string | null)[]) =>
  parts.filter((part) => part !== null).join('; ') || null

/** Nulls where the code is not known. */
function placeOf({ before: { file, unit, line } }: Checkpoint, relative: (file: string) => string) {
  if (file === '') return { before: null, file: null, line: null }
  return { before: unit.replace(/#\d+$/, ''), file: relative(file), line }
}

export function reportOf(
  begun: Begun,
  exit: { code: number | null; signal: string | null } | null,
  { run, engine, relative, total, program, cold, below }: ReportContext,
): RunReport {
  const { checkpoint } = begun
  return {
    run,
    outcome: begun.outcome,
    checkpoint:
      checkpoint === null
        ? null
        : {
            id: checkpoint.id,
            ...placeOf(checkpoint, relative),
            at_seconds: checkpoint.work,
          },
    changed: begun.changed.map((change) => ({ ...change, file: relative(change.file) })),
    reason: begun.reason,
    kept_effects: begun.effects,
    engine,
    seconds: { total, plan: begun.planned, restore: begun.restored, program, cold_estimate: cold },
    exit: exit === null ? null : { code: exit.code, signal: exit.signal },
    ...(below.length === 0 ? {} : { below }),
  }
}

const REASONS: readonly [RegExp, ColdReason][] = [
  [/^first run/, 'first_run'],
  [/^nothing was kept/, 'nothing_kept'],
  [/^a fresh run/, 'fresh'],
  [/running already/, 'busy'],
]
const CHANGES: Record<Change['kind'], ColdReason> = {
  body: 'edit',
  added: 'edit',
  removed: 'edit',
  statement: 'edit',
  input: 'input',
  env: 'env',
  package: 'package',
}

/** The kind of reason for which a program runs from its start. */
export function coldReasonOf({ reason, changed: [change] }: Begun): ColdReason {
  const [, known] = REASONS.find(([pattern]) => pattern.test(reason ?? '')) ?? []
  if (known !== undefined) return known
  return change === undefined ? 'other' : CHANGES[change.kind]
}
