import { ThawError } from './error.js'
import { silentLog, type Log } from './log.js'

/**
 * What every long operation is given: until when, whether it is still wanted, and where to say what it does.
 * An operation that is aborted undoes what it had begun.
 */
export interface Scope {
  /** Latest end, in milliseconds of `performance.now()`. */
  readonly deadline?: number
  readonly signal: AbortSignal
  readonly log: Log
}

/** A scope without deadline that is never aborted. */
export function openScope(log: Log = silentLog, signal: AbortSignal = new AbortController().signal): Scope {
  return { signal, log }
}

/** The same scope, ending at the latest `ms` milliseconds from now. */
export function withTimeout(scope: Scope, ms: number): Scope {
  const deadline = Math.min(scope.deadline ?? Infinity, performance.now() + ms)
  return { deadline, signal: scope.signal, log: scope.log }
}

/** Throws CANCELLED or TIMEOUT when the scope has ended. */
export function checkScope(scope: Scope, doing: string): void {
  if (scope.signal.aborted) throw new ThawError('CANCELLED', `Cancelled while ${doing}.`)
  if (scope.deadline !== undefined && performance.now() >= scope.deadline) {
    throw new ThawError('TIMEOUT', `Ran out of time while ${doing}.`)
  }
}

/**
 * Waits for `promise` within the scope. When the scope ends first, throws CANCELLED or TIMEOUT, and a value that
 * still arrives is handed to `undo`, so that nothing is left behind.
 */
export async function within<T>(
  scope: Scope,
  doing: string,
  promise: Promise<T>,
  undo: (late: T) => unknown = () => {},
): Promise<T> {
  let ended = false
  let timer: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  const end = new Promise<never>((_, reject) => {
    onAbort = () => reject(new ThawError('CANCELLED', `Cancelled while ${doing}.`))
    if (scope.signal.aborted) onAbort()
    else scope.signal.addEventListener('abort', onAbort, { once: true })
    if (scope.deadline !== undefined) {
      const left = Math.max(0, scope.deadline - performance.now())
      timer = setTimeout(() => reject(new ThawError('TIMEOUT', `Ran out of time while ${doing}.`)), left)
    }
  })
  promise.then(
    (value) => {
      if (ended) undo(value)
    },
    () => {},
  )
  try {
    return await Promise.race([promise, end])
  } catch (error) {
    ended = true
    throw error
  } finally {
    clearTimeout(timer)
    if (onAbort !== undefined) scope.signal.removeEventListener('abort', onAbort)
  }
}
