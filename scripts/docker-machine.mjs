// `npm run docker-machine`: containers in a machine, cold and in a copy; writes its figures into docs/docker-machine.md.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { attempt, build, bundle, install, root } from './workspace.mjs'

install()
build()
// Below the package, which looks for its own files above its code.
const directory = join(root, 'packages', 'thaw', 'node_modules', `.trial-docker-${process.pid}`)
const outfile = join(directory, 'run.mjs')
let code
try {
  await bundle('tests/vm/docker/run.ts', outfile)
  const env = { ...process.env, THAW_PAGE: join(root, 'docs', 'docker-machine.md') }
  code = attempt(process.execPath, [outfile], { env })
} finally {
  rmSync(directory, { recursive: true, force: true })
}
process.exit(code)
