export { editFor, type EditForCall, type FailedCall } from './once.js'
export { Repairs } from './repairs.js'
export type { RepairSink, RepairSpec } from './repair.js'
