export { Client } from './client.js'
export { fetchTransport } from './fetch-transport.js'
export { OperationHandle, type StartOptions } from './operation.js'
export {
  ServiceHandle,
  type CallOptions,
  type CallInput,
  type CodeToSend,
  type ServiceInput,
} from './services.js'
export type { Connection } from './frame-stream.js'
export { Terminal, type TerminalOptions } from './terminal.js'
export type { WebSocketClass, WebSocketLike } from './websocket.js'
export type { TakeInput } from './snapshots.js'
export type { FinishedBranch, SettledBranch } from './settled.js'
export type { Method, RequestOptions, Transport } from './transport.js'
export { ThawError, type ErrorCode } from '@thaw/protocol'
export type {
  BranchNode,
  CheckpointNode,
  Comparison,
  Operation,
  OperationEvent,
  Pool,
  PoolRequestInput,
  ResumeCheckpointInput,
  RunReport,
  RunSummary,
  Service,
  ServiceAnswer,
  ServiceRequestInput,
  Snapshot,
  SnapshotRequestInput,
  StartRunInput,
} from '@thaw/protocol'
