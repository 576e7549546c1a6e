import type { SpawnSyncReturns } from 'node:child_process'
import type { RepairReport } from '@thaw/protocol'

export interface Fault {
  command: string[]
  kind: string
  /** Whether what it prints holds times. */
  timing?: boolean
}

export function faults(): string[]
export function repair(
  where: { directory: string; env: Record<string, string>; thaw: string },
  name: string,
  bad: boolean,
): {
  fault: Fault
  plain: SpawnSyncReturns<string> & { seconds: number }
  shown: SpawnSyncReturns<string>
  report: RepairReport | null
  same: boolean
}
