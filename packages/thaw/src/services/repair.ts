/** A call that raised an error, repaired: an edit is asked for and put in place, and the call made again, within bounds. */
import type { CodeFault, ServiceRepair, TriedEdit } from '@thaw/protocol'
import type { FailureMessage } from '@thaw/protocol/agent'
import type { EditForCall, FailedCall } from '../repair/index.js'
import type { Steps } from '../repair/steps.js'
import { ThawError, withTimeout, type Scope } from '../system/index.js'
import type { Called } from './service.js'

/** Bytes of each stream that a repairer is shown. */
const PRINTED = 4096

/** Asks a repairer once. */
export type AskForEdit = (call: FailedCall, scope: Scope) => Promise<EditForCall>

/** Repairs of one service's calls: one after the other, since an edit may be what another call needs, too. */
export class Repairs {
  #turn: Promise<void> = Promise.resolve()

  /**
   * @param version of the code that serves now
   * @param prepare what is known of the call, once it is certain that it has to be repaired
   * @throws ThawError what `repairCall` throws
   */
  async repair(
    error: ThawError,
    version: () => string,
    again: () => Promise<Called>,
    prepare: () => Promise<Omit<RaisedCall, 'error' | 'again'>>,
    scope: Scope,
  ): Promise<Called> {
    const before = this.#turn
    let leave!: () => void
    this.#turn = new Promise((resolve) => (leave = resolve))
    try {
      await before
      let raised = error
      if ((error.details as { version?: string }).version !== version()) {
        try {
          return await again()
        } catch (caught) {
          if (!isRaised(caught)) throw caught
          raised = caught
        }
      }
      return await repairCall({ ...(await prepare()), error: raised, again }, scope)
    } finally {
      leave()
    }
  }
}

interface RaisedCall {
  /** As it ended first. */
  error: ThawError
  about: Pick<FailedCall, 'id' | 'project' | 'cwd' | 'command' | 'output' | 'env' | 'python'>
  repair: ServiceRepair
  steps: Steps
  ask: AskForEdit
  again: () => Promise<Called>
  /** Puts in place what the files hold now. What of it is unfit; null: it serves. */
  apply: () => Promise<CodeFault | null>
}

/**
 * Edits stay when the call succeeds in the end; else all files are as they were.
 *
 * @throws ThawError CALL_RAISED as the call ended first, with `details.repair`: what was tried
 */
async function repairCall(call: RaisedCall, scope: Scope): Promise<Called> {
  const { repair, steps, about } = call
  const repairer = repair.repairer as FailedCall['repairer']
  const bounded = withTimeout(scope, repair.bounds.time * 1000)
  const tried: TriedEdit[] = []
  const accepted: { step: number; diff: string }[] = []
  let error = call.error
  const takeBack = async (step: number) => {
    steps.takeBack(step)
    await call.apply()
  }
  while (tried.length < repair.bounds.rounds) {
    const told = standingOf(error)
    const note = (outcome: TriedEdit['outcome'], detail: string, diff = '') =>
      tried.push({ round: tried.length + 1, candidate: 1, diff, outcome, detail })
    let answer
    try {
      answer = await call.ask({ ...about, told, repairer, bounds: repair.bounds, tried }, bounded)
    } catch (caught) {
      note('refused', ThawError.from(caught).message)
      break
    }
    if ('refused' in answer) {
      note('refused', answer.refused)
      continue
    }
    const step = steps.accept(about.project, answer.edits)
    const unfit = await call.apply()
    if (unfit !== null) {
      await takeBack(step)
      note('taken back', unfit.message, answer.diff)
      continue
    }
    try {
      const called = await call.again()
      return { ...called, repaired: [...accepted.map(({ diff }) => diff), answer.diff] }
    } catch (caught) {
      const next = ThawError.from(caught)
      if (next.code !== 'CALL_RAISED' || placeOf(next) === placeOf(error)) {
        await takeBack(step)
        note('taken back', next.message, answer.diff)
      } else {
        // One fault was behind another.
        accepted.push({ step, diff: answer.diff })
        note('accepted', next.message, answer.diff)
        error = next
      }
    }
  }
  for (const { step } of accepted.reverse()) await takeBack(step)
  const what = tried.map(({ outcome, detail }) => ({ outcome, detail }))
  throw withoutStanding(call.error, { repair: what })
}

/** What the caller is told: the variables are for the repairer only. */
export function withoutStanding(error: ThawError, more: Record<string, unknown> = {}): ThawError {
  const { exceptions: _, ...details } = (error.details ?? {}) as Record<string, unknown>
  return new ThawError(error.code, error.message, { details: { ...details, ...more } })
}

function standingOf(error: ThawError): FailureMessage {
  const { exceptions } = error.details as { exceptions?: FailureMessage['exceptions'] }
  return { t: 'failure', kind: 'exception', exceptions: exceptions ?? [] }
}

/** What was raised, and in which function: lines move with an edit. */
function placeOf(error: ThawError): string {
  const [first] = standingOf(error).exceptions
  const { file = '', function: name = '' } = first?.frames.findLast(({ project }) => project) ?? {}
  return JSON.stringify([first?.type, first?.message, file, name])
}

/** The end of what a call prints. */
export class Tail {
  readonly #ends = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }

  add(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.#ends[stream] = Buffer.concat([this.#ends[stream], bytes]).subarray(-PRINTED)
  }

  text(): { stdout: string; stderr: string } {
    return { stdout: this.#ends.stdout.toString(), stderr: this.#ends.stderr.toString() }
  }
}

export function isRaised(error: unknown): error is ThawError {
  return error instanceof ThawError && error.code === 'CALL_RAISED'
}
