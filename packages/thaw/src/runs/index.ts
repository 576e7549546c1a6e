export { Runs, type RunHandle } from './runs.js'
export type { RunSink } from './flow.js'
export type { StreamName } from './record.js'
