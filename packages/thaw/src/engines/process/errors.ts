/** What went wrong, in the words of the catalogue. */
import { ThawError } from '../../system/index.js'
import { startError } from '../start-error.js'
import type { ProcessBranch } from './branch.js'
import { complaint, isDiskFull } from './criu/commands.js'
import { SandboxRefused } from './sandbox.js'

export function restoreFailure(why: string | null): ThawError {
  const message = `The checkpoint could not be restored: ${why ?? 'criu gave no reason'}.`
  if (why === null || !/bind inet/.test(why)) return new ThawError('ENGINE_FAILED', message)
  return new ThawError('ENGINE_FAILED', message, {
    hint: 'Its ports are in use on this machine: launch it with a private network, where every clone has its own.',
  })
}

export async function dumpFailure(log: string, branch: ProcessBranch): Promise<ThawError> {
  if (isDiskFull(log)) return new ThawError('DISK_FULL', 'The disk is full; the checkpoint was not made.')
  // It may have ended meanwhile, which is no fault.
  const ended = await Promise.race([
    branch.parts.sandbox.exited,
    new Promise((resolve) => setTimeout(resolve, 20, null)),
  ])
  if (ended !== null)
    return new ThawError('CHECKPOINT_REFUSED', 'The program ended while the checkpoint was made.')
  return new ThawError(
    'NOT_COPYABLE',
    `criu could not copy the program: ${complaint(log) ?? 'it gave no reason'}.`,
  )
}

export function asDiskFull(error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') return error
  return new ThawError('DISK_FULL', 'The disk is full; the checkpoint was not made.', { cause: error })
}

export function asThawError(error: unknown, command: string, cwd: string): unknown {
  if (!(error instanceof SandboxRefused)) return error
  const { what, error: name } = error
  const told = startError(what, name, command, cwd, error)
  if (told !== null) return told
  return new ThawError('ENGINE_FAILED', `The sandbox could not be made ready (${error.message}).`, {
    cause: error,
  })
}
