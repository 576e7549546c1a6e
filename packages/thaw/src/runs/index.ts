export { Runs, type RunHandle } from './runs.js'
export type { RunSink } from './flow.js'
