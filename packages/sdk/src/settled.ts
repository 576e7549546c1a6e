import { ThawError, type ProgramExit } from '@thaw/protocol'
import type { z } from 'zod'
import type { OperationHandle } from './operation.js'

export interface FinishedBranch {
  id: string
  /** Null when it stopped at a checkpoint. */
  exit: z.infer<typeof ProgramExit> | null
  /** The checkpoint at which it stopped. */
  stop: string | null
}

export type SettledBranch =
  { status: 'fulfilled'; value: FinishedBranch } | { status: 'rejected'; branch: string; reason: ThawError }

/** What each branch of a resume came to, in their order. */
export async function settled(operation: OperationHandle, signal?: AbortSignal): Promise<SettledBranch[]> {
  const outcome = await operation.wait(signal === undefined ? {} : { signal }).then(
    ({ report }) => ({ known: new Map(report?.branches?.map((one) => [one.id, one])), reason: null }),
    (error: unknown) => ({ known: new Map<string, never>(), reason: ThawError.from(error) }),
  )
  return operation.branches.map((branch): SettledBranch => {
    const found = outcome.known.get(branch)
    if (found !== undefined) {
      const { id, exit, stop } = found
      return { status: 'fulfilled', value: { id, exit, stop } }
    }
    const reason = outcome.reason ?? new ThawError('INTERNAL', `Nothing is told of ${branch}.`)
    return { status: 'rejected', branch, reason }
  })
}
