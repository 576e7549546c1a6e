import { runDaemon } from './api/daemon.js'
import { EngineSetup } from './engines/process/setup.js'
import { Runs } from './runs/index.js'
import { Snapshots } from './snapshots/snapshots.js'

void runDaemon({
  createRuns: (options) => Runs.create(options),
  createEngines: (paths) => new EngineSetup(paths.cache),
  createSnapshots: (options) => new Snapshots(options),
})
