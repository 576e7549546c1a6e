export {
  Journal,
  type BranchRow,
  type CheckpointRow,
  type InputRow,
  type Lost,
  type RunRow,
} from './journal.js'
export type { InstanceCheckpointRow, InstanceRow } from './instances.js'
export type { AppRow, FrozenService, ServiceRow } from './services.js'
export type { PoolRow, SnapshotRow } from './snapshots.js'
