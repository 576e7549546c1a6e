// `npm run vm`: measures machines and their copies, and writes docs/vm-results.md.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { attempt, build, bundle, install, root } from './workspace.mjs'

install()
build()
// Below the package, which looks for its own files above its code.
const directory = join(root, 'packages', 'thaw', 'node_modules', `.trial-vm-${process.pid}`)
const outfile = join(directory, 'run.mjs')
let code
try {
  await bundle('tests/vm/measure/run.ts', outfile)
  const env = { ...process.env, THAW_VM_FILE: join(root, 'docs', 'vm-results.md') }
  code = attempt(process.execPath, [outfile, ...process.argv.slice(2)], { env })
} finally {
  rmSync(directory, { recursive: true, force: true })
}
process.exit(code)
