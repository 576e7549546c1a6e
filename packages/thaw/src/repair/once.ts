/** An edit for one call that failed, without a run around it: asked for, checked, and not yet in place. For services. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { RepairBounds, Repairer, TriedEdit } from '@thaw/protocol'
import type { FailureMessage } from '@thaw/protocol/agent'
import type { Runs } from '../runs/index.js'
import type { Scope } from '../system/index.js'
import { bundleOf } from './bundle.js'
import { Candidates } from './candidates.js'
import type { FileEdit } from './edit.js'
import { failureOfCall, type Place } from './failure.js'
import { Mask } from './mask.js'
import { openRepairer } from './repairers/index.js'
import { makeTemporary } from './temporary.js'

export interface FailedCall extends Pick<Place, 'project' | 'cwd'> {
  /** Names it in the bundle. */
  id: string
  /** What was called, as words. */
  command: readonly string[]
  /** Where it stood, with its variables: they are masked here. */
  told: FailureMessage
  /** The end of what it printed. */
  output: { stdout: string; stderr: string }
  /** Of the service: its secrets are masked, keys of models are looked for in it. */
  env: Record<string, string>
  /** Which is to compile what is edited. */
  python: string
  repairer: Exclude<Repairer, { kind: 'caller' }>
  bounds: RepairBounds
  /** Edits for this call that came to nothing, the oldest first: as many as the bound on rounds end it. */
  tried: readonly TriedEdit[]
}

export type EditForCall =
  /** Within the project and the bounds, and it compiles. Nothing has been changed yet (`Steps.accept` does). */
  { edits: FileEdit[]; diff: string } | { refused: string }

/**
 * Asks once.
 *
 * @throws ThawError REPAIRER_MISSING, UNSUPPORTED where the project cannot be copied, and what ends all asking
 */
export async function editFor(runs: Runs, call: FailedCall, scope: Scope): Promise<EditForCall> {
  const { bounds, env, project, cwd } = call
  const round = call.tried.length + 1
  if (round > bounds.rounds) return { refused: `not after ${bounds.rounds} rounds` }
  const mask = new Mask(env)
  const place: Place = { project, cwd, isHere: true }
  const failure = failureOfCall(call.told, place, mask)
  const answerer = openRepairer(call.repairer, {
    shop: runs.workshop,
    env,
    bounds,
    ask: () => Promise.reject(new Error('a call has nobody to ask')),
  })
  const subject = { ...place, ...call, repair: call.id, failure, stdin: null, record: null }
  const bundle = await bundleOf(subject, round, mask, scope)
  const work = makeTemporary(runs.workshop.paths)
  try {
    mkdirSync(join(work, 'bundles'), { mode: 0o700 })
    await using candidates = new Candidates(runs, work, {
      answerer,
      python: call.python,
      linesLeft: bounds.lines,
      seconds: bounds.answer,
    })
    const [one] = await candidates.ask(bundle, 1, scope)
    if (one === undefined || one.refused !== null) return { refused: one?.refused ?? 'there is no answer' }
    return { edits: one.edits, diff: one.diff }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
