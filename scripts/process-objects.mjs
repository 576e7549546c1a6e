// `npm run process-objects`: tries what the process engine copies, and writes docs/process-objects.md.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { attempt, build, install, root } from './workspace.mjs'

install()
build()
const { build: bundle } = await import('esbuild')
// Below the package, which looks for its own files above its code.
const directory = join(root, 'packages', 'thaw', 'node_modules', `.trial-objects-${process.pid}`)
const outfile = join(directory, 'run.mjs')
let code
try {
  await bundle({
    absWorkingDir: root,
    entryPoints: ['tests/process/objects/run.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    conditions: ['thaw-source'],
    external: ['libsql', 'koffi'],
    banner: {
      js: "import { createRequire as thawRequire } from 'node:module'; const require = thawRequire(import.meta.url);",
    },
    logLevel: 'warning',
  })
  const env = { ...process.env, THAW_OBJECTS_FILE: join(root, 'docs', 'process-objects.md') }
  code = attempt(process.execPath, [outfile, ...process.argv.slice(2)], { env })
} finally {
  rmSync(directory, { recursive: true, force: true })
}
process.exit(code)
