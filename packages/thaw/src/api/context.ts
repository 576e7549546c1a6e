import type { DaemonSettings } from '@thaw/protocol'
import type { Journal } from '../store/index.js'
import type { Log, Metrics, Paths } from '../system/index.js'
import type { Products } from '../snapshots/products.js'
import type { Services } from '../services/services.js'
import type { Access } from './access.js'
import type { Operations } from './operations.js'
import type { RepairsPort, RunsPort, SetupPort } from './ports.js'
import type { TcpListener } from './tcp.js'
import type { Tokens } from './tokens.js'

/** What the routes work with. */
export interface ApiContext {
  readonly runs: RunsPort
  readonly repairs: RepairsPort
  readonly engines: SetupPort
  readonly products: Products
  readonly services: Services
  readonly journal: Journal
  readonly paths: Paths
  readonly settings: DaemonSettings
  readonly log: Log
  readonly metrics: Metrics
  readonly idle: { secondsLeft(): number | null }
  readonly access: Access
  readonly tokens: Tokens
  readonly tcp: TcpListener
  readonly operations: Operations
  /** Lines that the next command should pass on to the user; empties the list. */
  takeNotices(): string[]
  stopping(): boolean
  /** Begins the orderly end of the daemon. */
  stop(): void
}
