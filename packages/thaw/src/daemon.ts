import { runDaemon } from './api/daemon.js'
import { EngineSetup } from './engines/setup.js'
import { editFor, Repairs } from './repair/index.js'
import { Runs } from './runs/index.js'
import { Services } from './services/services.js'
import { Products } from './snapshots/products.js'

void runDaemon({
  createRuns: (options) => Runs.create(options),
  createRepairs: (options) => Repairs.create(options),
  createEngines: (paths) => new EngineSetup(paths.cache),
  createProducts: (options) => new Products(options),
  createServices: ({ runs, ...options }) =>
    new Services({ ...options, ask: (call, scope) => editFor(runs, call, scope) }),
})
