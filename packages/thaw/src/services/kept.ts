/** What is kept warm behind a name: functions, or an app. */
import type { Service as ServiceDocument, ServiceState } from '@thaw/protocol'
import type { InstanceLog } from '../snapshots/instances/log.js'
import type { Beside } from '../snapshots/instances/body.js'
import type { Scope } from '../system/index.js'
import type { BesideRequest } from './beside.js'

/** Disposing it is the daemon's end: it is frozen where that is possible, else ended. */
export interface Kept extends AsyncDisposable {
  readonly name: string
  readonly state: ServiceState
  /** Calls, or requests, that it serves now. */
  readonly running: number
  readonly log: InstanceLog
  /** Whether it would lose anything with the daemon. */
  readonly isLive: boolean
  /** Pids of all its processes as seen from here, the root first. */
  readonly pids: number[]
  describe(): ServiceDocument
  /** It does not rest while this is held. */
  keepAwake(): Disposable
  /**
   * A program in its environment, which is brought up for it and stays while it runs.
   *
   * @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, and what bringing it up throws
   */
  exec(given: BesideRequest, scope: Scope): Promise<Beside>
  /** Back to the state right after its start. */
  reset(scope: Scope): Promise<void>
  restart(scope: Scope): Promise<void>
  /** @throws ThawError UNSUPPORTED, and why it cannot be copied; it serves on then */
  freeze(scope: Scope): Promise<void>
  thaw(scope: Scope): Promise<void>
  stop(): Promise<void>
  remove(): Promise<void>
  /** Rests where it is due. */
  rest(): Promise<void>
}
