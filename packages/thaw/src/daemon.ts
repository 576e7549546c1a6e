import { runDaemon } from './api/daemon.js'
import { EngineSetup } from './engines/process/setup.js'
import { Repairs } from './repair/index.js'
import { Runs } from './runs/index.js'

void runDaemon(
  (options) => Runs.create(options),
  (options) => Repairs.create(options),
  (paths) => new EngineSetup(paths.cache),
)
