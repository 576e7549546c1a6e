// `npm start`: installs and builds what is missing, then shows the main job on real input.
import { join } from 'node:path'
import { build, install, root, run } from './workspace.mjs'

install()
build()
run(process.execPath, [join(root, 'examples', 'demo', 'run.mjs'), ...process.argv.slice(2)])
