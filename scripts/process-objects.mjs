// `npm run process-objects`: tries what the process engine copies, and writes docs/process-objects.md.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { attempt, build, bundle, install, root } from './workspace.mjs'

install()
build()
// Below the package, which looks for its own files above its code.
const directory = join(root, 'packages', 'thaw', 'node_modules', `.trial-objects-${process.pid}`)
const outfile = join(directory, 'run.mjs')
let code
try {
  await bundle('tests/process/objects/run.ts', outfile)
  const env = { ...process.env, THAW_OBJECTS_FILE: join(root, 'docs', 'process-objects.md') }
  code = attempt(process.execPath, [outfile, ...process.argv.slice(2)], { env })
} finally {
  rmSync(directory, { recursive: true, force: true })
}
process.exit(code)
