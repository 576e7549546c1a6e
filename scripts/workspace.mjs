// What every script needs before it can do its own work: dependencies installed, sources built.
// Only Node's own modules: this runs on a clone in which nothing is installed yet.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Runs a program in the clone; ends this script with its exit code when that is not 0. */
export function run(command, args, options = {}) {
  const code = attempt(command, args, options)
  if (code !== 0) process.exit(code)
}

/** Runs a program in the clone and returns its exit code; 128+n when a signal ended it. */
export function attempt(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options })
  if (error) {
    console.error(`Cannot start ${command}: ${error.message}`)
    return 127
  }
  return signal ? 130 : (status ?? 1)
}

/** A program that a dependency brings. */
export function tool(name) {
  return join(root, 'node_modules', '.bin', name)
}

function digestOf(files) {
  const hash = createHash('sha1')
  for (const file of files)
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0')
  return hash.digest('hex')
}

/** Installs what the lockfile says, when that is not what node_modules holds. */
export function install() {
  const lockfile = join(root, 'package-lock.json')
  const modules = join(root, 'node_modules')
  const stamp = join(modules, '.thaw-lockfile')
  const wanted = digestOf([lockfile])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  const byHand = join(modules, '.package-lock.json')
  if (!existsSync(byHand) || statSync(byHand).mtimeMs < statSync(lockfile).mtimeMs) {
    console.error('Installing dependencies (once) ...')
    const npm = process.env.npm_execpath
    // Nothing is compiled or fetched by what is installed: all that needs a binary brings it.
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    if (npm?.endsWith('.js')) run(process.execPath, [npm, ...args])
    else run('npm', args)
  }
  writeFileSync(stamp, wanted)
}

function filesBelow(directory, accept) {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name)
      if (entry.isDirectory()) return entry.name === '__pycache__' ? [] : filesBelow(path, accept)
      return accept(entry.name) ? [path] : []
    })
}

const isSource = (name) => name.endsWith('.ts') && !name.endsWith('.test.ts')

/** Digest of what one library's build is made of, apart from the libraries it uses. */
export function libraryDigest(name) {
  const home = join(root, 'packages', name)
  const settings = [
    join(root, 'tsconfig.json'),
    join(home, 'tsconfig.build.json'),
    join(home, 'package.json'),
  ]
  return digestOf([...filesBelow(join(home, 'src'), isSource), ...settings])
}

/** Digest of all that a build is made of: tells whether one is due, and daemons of different builds apart. */
export function sourceDigest() {
  const packages = ['protocol', 'sdk', 'thaw'].map((name) => join(root, 'packages', name))
  return digestOf([
    ...packages.flatMap((path) => filesBelow(join(path, 'src'), isSource)),
    ...packages.map((path) => join(path, 'package.json')),
    ...filesBelow(join(root, 'agents'), (name) => name.endsWith('.py')),
    ...filesBelow(join(root, 'packages', 'thaw', 'native'), () => true),
    join(root, 'package-lock.json'),
    join(root, 'scripts', 'build.mjs'),
  ])
}

export const buildStamp = join(root, 'packages', 'thaw', 'dist', 'build-stamp')

/** Builds when the sources are not those of the last build. */
export function build() {
  if (existsSync(buildStamp) && readFileSync(buildStamp, 'utf8') === sourceDigest()) return
  console.error('Building ...')
  run(process.execPath, [join(root, 'scripts', 'build.mjs')])
}

export function version() {
  return JSON.parse(readFileSync(join(root, 'packages', 'thaw', 'package.json'), 'utf8')).version
}

/** A program in TypeScript, with the workspace's sources, as one file that node runs. Prerequisite: `install`. */
export async function bundle(entry, outfile) {
  const esbuild = await import('esbuild')
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
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
}
