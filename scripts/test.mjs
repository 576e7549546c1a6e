// `npm test`: installs and builds what is missing, then runs all tests, a sample of the exactness test among them.
// Arguments go to vitest: `npm test -- packages/protocol`.
import { build, install, run, tool } from './workspace.mjs'

install()
build()
run(tool('vitest'), ['run', ...process.argv.slice(2)])
