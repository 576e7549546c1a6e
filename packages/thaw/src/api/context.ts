import type { DaemonSettings } from '@thaw/protocol'
import type { Journal } from '../store/index.js'
import type { Log, Paths } from '../system/index.js'
import type { RepairsPort, RunsPort, SetupPort } from './ports.js'

/** What the routes work with. */
export interface ApiContext {
  readonly runs: RunsPort
  readonly repairs: RepairsPort
  readonly engines: SetupPort
  readonly journal: Journal
  readonly paths: Paths
  readonly settings: DaemonSettings
  readonly log: Log
  readonly idle: { secondsLeft(): number | null }
  /** Lines that the next command should pass on to the user; empties the list. */
  takeNotices(): string[]
  stopping(): boolean
  /** Begins the orderly end of the daemon. */
  stop(): void
}
