import { build } from 'esbuild'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './home.js'

/** A test program in TypeScript as one file that node runs; gone at the end. */
export async function bundle(entry: string): Promise<{ program: string } & Disposable> {
  const name = entry.replace(/\W/g, '-')
  // Below the package, which looks for its own files above its code.
  const directory = join(root, 'packages', 'thaw', 'node_modules', `.trial-${name}-${process.pid}`)
  const program = join(directory, 'program.mjs')
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    conditions: ['thaw-source'],
    external: ['libsql', 'koffi', '@bokuweb/zstd-wasm'],
    banner: {
      js: "import { createRequire as thawRequire } from 'node:module'; const require = thawRequire(import.meta.url);",
    },
    logLevel: 'warning',
  })
  return { program, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) }
}
