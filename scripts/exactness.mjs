// `npm run exactness -- --edits N`: random edits, each compared with a cold run.
import { join } from 'node:path'
import { build, install, root, run } from './workspace.mjs'

install()
build()
run(process.execPath, [
  join(root, 'tests', 'exactness', 'exactness.mjs'),
  '--fetch',
  ...process.argv.slice(2),
])
