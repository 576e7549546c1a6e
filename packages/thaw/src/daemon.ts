import { runDaemon } from './api/daemon.js'
import { Runs } from './runs/index.js'

void runDaemon((options) => Runs.create(options))
