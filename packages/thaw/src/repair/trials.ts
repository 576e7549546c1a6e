/** Several edits at once: each in a branch of its own from the same checkpoint, with its own view of the files. */
import type { Failure, StartRequest } from '@thaw/protocol'
import { join } from 'node:path'
import type { Runs } from '../runs/index.js'
import type { BranchRecord } from '../runs/lineage.js'
import { ThawError, type Scope } from '../system/index.js'
import { Attempt, type Attempted } from './attempt.js'
import type { Candidate } from './candidates.js'
import type { Input } from './input.js'

export interface Trialled {
  candidate: Candidate
  /** Null where it was ended because another one had passed. */
  failure: Failure | null
  passed: boolean
}

export interface TrialsSpec {
  leaf: BranchRecord
  run: string
  request: StartRequest
  input: Input
  /** For each of them. */
  seconds: number
  judge: (attempted: Attempted, candidate: Candidate) => Promise<Failure | null>
}

/**
 * Tries all of them; when one has passed, the others are ended.
 *
 * @returns null where they cannot be kept apart
 */
export async function tryAll(
  runs: Runs,
  candidates: readonly Candidate[],
  { leaf, run: id, request, input, seconds, judge }: TrialsSpec,
  scope: Scope,
): Promise<Trialled[] | null> {
  const run = runs.workshop.runs.get(id)
  if (run === undefined) return null
  const attempts = new Map<Candidate, Attempt>()
  let winner: Candidate | null = null
  const one = async (candidate: Candidate): Promise<Trialled> => {
    const attempt = new Attempt(runs, input.copy(), scope.signal)
    attempts.set(candidate, attempt)
    const { copy } = candidate.place
    const edited = new Map(candidate.edits.map(({ path, after }) => [join(copy.project, path), after]))
    const attempted = await attempt.run(
      (sink) => runs.try({ run, leaf, copy, edited, request }, sink, scope),
      (started, also) => ({
        started,
        stdout: async (chunk) => also('stdout', chunk),
        stderr: async (chunk) => also('stderr', chunk),
      }),
      seconds,
      0,
    )
    if (winner !== null) return { candidate, failure: null, passed: false }
    const failure = await judge(attempted, candidate)
    if (failure !== null || winner !== null) return { candidate, failure, passed: false }
    winner = candidate
    for (const [other, its] of attempts) if (other !== candidate) await its.signal('SIGKILL')
    return { candidate, failure: null, passed: true }
  }
  const settled = await Promise.allSettled(candidates.map(one))
  const failed = settled.find((result) => result.status === 'rejected')
  if (failed === undefined)
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const error = ThawError.from(failed.reason)
  scope.log.info('edits cannot be tried side by side', { error })
  if (error.code === 'CANCELLED') throw error
  return null
}
