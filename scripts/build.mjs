// Builds packages/*/dist. `npm run build`.
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { install, libraryDigest, root, run, sourceDigest, tool, version } from './workspace.mjs'

install()
const { build } = await import('esbuild')
const digest = sourceDigest()
const thaw = join(root, 'packages', 'thaw')
const dist = join(thaw, 'dist')
const fresh = join(thaw, 'dist.new')
rmSync(fresh, { recursive: true, force: true })

// The libraries, with types, for those who write against them; slow, so only what has changed.
let dependencies = ''
for (const name of ['protocol', 'sdk']) {
  const home = join(root, 'packages', name)
  const stamp = join(home, 'dist', 'build-stamp')
  dependencies += libraryDigest(name)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === dependencies) continue
  rmSync(join(home, 'dist'), { recursive: true, force: true })
  run(tool('tsc'), ['-p', join('packages', name, 'tsconfig.build.json')])
  writeFileSync(stamp, dependencies)
}

// The program, in few files, so that it starts fast: one for the command line's fast path, the rest loaded when used.
const result = await build({
  absWorkingDir: root,
  entryPoints: {
    cli: 'packages/thaw/src/cli/main.ts',
    daemon: 'packages/thaw/src/daemon.ts',
    packer: 'packages/thaw/src/packer.ts',
    standby: 'packages/thaw/src/cli/standby.ts',
  },
  outdir: 'packages/thaw/dist.new',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  conditions: ['thaw-source'],
  // ssh2 does without what it would have compiled.
  external: ['libsql', 'koffi', '@bokuweb/zstd-wasm', 'cpu-features', '*.node'],
  define: {
    __THAW_VERSION__: JSON.stringify(version()),
    // Asked for by a library that carries its WebAssembly in its own text, and reads nothing there.
    __dirname: JSON.stringify('/'),
    __THAW_BUILD__: JSON.stringify(digest.slice(0, 12)),
  },
  banner: {
    js: "import { createRequire as thawRequire } from 'node:module'; const require = thawRequire(import.meta.url);",
  },
  chunkNames: 'chunks/[name]-[hash]',
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
})
writeFileSync(join(fresh, 'THIRD-PARTY-LICENSES.txt'), licenses(result.metafile))
writeFileSync(join(fresh, 'build-stamp'), digest)
// Swapped in one step: who starts thaw meanwhile gets the old build or the new one, never half of each.
const old = join(thaw, 'dist.old')
rmSync(old, { recursive: true, force: true })
if (existsSync(dist)) renameSync(dist, old)
renameSync(fresh, dist)
rmSync(old, { recursive: true, force: true })

/** The licences of all packages whose code is inside the bundle. */
function licenses(metafile) {
  const packages = new Map()
  for (const input of Object.keys(metafile.inputs)) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)
    if (match) packages.set(match[1], join(root, match[1]))
  }
  const texts = [...packages.values()].sort().map((directory) => {
    const about = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
    const file = readdirSync(directory).find((name) => /^licen[cs]e/i.test(name))
    const text =
      file === undefined ? `License: ${about.license}` : readFileSync(join(directory, file), 'utf8').trim()
    return `${about.name} ${about.version}\n\n${text}\n`
  })
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}
