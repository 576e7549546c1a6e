import { runDaemon } from './api/daemon.js'
import { EngineSetup } from './engines/setup.js'
import { Repairs } from './repair/index.js'
import { Runs } from './runs/index.js'
import { Services } from './services/services.js'
import { Products } from './snapshots/products.js'

void runDaemon({
  createRuns: (options) => Runs.create(options),
  createRepairs: (options) => Repairs.create(options),
  createEngines: (paths) => new EngineSetup(paths.cache),
  createProducts: (options) => new Products(options),
  createServices: (options) => new Services(options),
})
