// `npm run bench`: thaw beside the plain program, in one run.
import { join } from 'node:path'
import { build, install, root, run } from './workspace.mjs'

install()
build()
run(process.execPath, [join(root, 'bench', 'run.mjs'), ...process.argv.slice(2)])
