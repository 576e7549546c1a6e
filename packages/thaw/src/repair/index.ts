export { Repairs } from './repairs.js'
export type { RepairSink, RepairSpec } from './repair.js'
