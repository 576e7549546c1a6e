/** What an instance is made of, and what instead when that does not serve. */
import type { Instance } from '@thaw/protocol'
import type { ThawError, Scope } from '../../system/index.js'
import type { Source } from './boot.js'

export interface Offer {
  source: Source
  /** The checkpoint or snapshot. */
  from: string | null
  /** Why nothing faster. */
  reason: string | null
  /** Given back when the instance has ended. */
  lease: Disposable | null
  /** Commands to be run in it once its program is ready. */
  prepare: readonly (readonly string[])[]
}

export interface Supplier {
  /** The instance's id; null: a new one. */
  readonly id: string | null
  /** What is told of it before anything has begun. */
  readonly expected: { kind: Source['kind']; from: string | null }
  /** @param before why the offer before did not serve */
  next(before: ThawError | null, scope: Scope): Promise<Offer>
  /** Whether there may be another offer after a failure. A start is always the last. */
  goesOn(failure: ThawError): boolean
  /** It is ready. Returns the seconds that were saved. */
  ready(instance: Instance, seconds: number): number | null
}

/** Of one source only. */
export function always(source: Source, from: string | null): Supplier {
  return {
    id: null,
    expected: { kind: source.kind, from },
    next: () => Promise.resolve({ source, from, reason: null, lease: null, prepare: [] }),
    goesOn: () => false,
    ready: () => null,
  }
}
