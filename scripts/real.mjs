// `npm run real`: projects of Debian, each edited in the middle and compared with a cold run.
import { join } from 'node:path'
import { build, install, root, run } from './workspace.mjs'

install()
build()
run(process.execPath, [join(root, 'bench', 'real', 'run.mjs'), ...process.argv.slice(2)])
