import { runDaemon } from './api/daemon.js'
import { EngineSetup } from './engines/process/setup.js'
import { Runs } from './runs/index.js'

void runDaemon(
  (options) => Runs.create(options),
  (paths) => new EngineSetup(paths.cache),
)
