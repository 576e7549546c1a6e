// `node scripts/fetch-python.mjs 3.14`: a CPython that this Debian does not carry, from a newer suite, for the tests. Nothing of
// the system changes: apt works on lists and a cache of its own, packages are unpacked below $XDG_CACHE_HOME/thaw-python/VERSION.
// The interpreter itself is patched to load the suite's own libc, so that it is what sys.executable says. Prints its path.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** Where packages come from, the most settled first. */
const SUITES = ['testing', 'unstable']
const SOURCES = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list']

const LOADER = /^ld-linux.*\.so\.\d$/

class Failure extends Error {}

/** Output of a command; fails with its own words. */
function output(command, args) {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (done.status === 0) return done.stdout
  const words = done.error?.message ?? done.stderr.trim().split('\n').slice(-3).join('\n')
  throw new Failure(`${command} ${args.at(0)} failed: ${words}`)
}

/** The mirror and the keyring of this machine's own Debian release. */
function ownSource() {
  const release = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
  const texts = SOURCES.filter((path) => existsSync(path)).map((path) => readFileSync(path, 'utf8'))
  for (const stanza of texts.flatMap((text) => text.split(/\n\s*\n/))) {
    const field = (name) => new RegExp(`^${name}:\\s*(\\S.*)$`, 'm').exec(stanza)?.[1].split(/\s+/)
    if (field('Suites')?.includes(release))
      return { mirror: field('URIs')[0], keyring: field('Signed-By')?.[0] ?? null }
  }
  for (const line of texts.join('\n').split('\n')) {
    const found = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s/.exec(line)
    if (found?.[3] === release)
      return { mirror: found[2], keyring: /signed-by=(\S+)/.exec(found[1] ?? '')?.[1] ?? null }
  }
  throw new Failure(`no source of Debian packages was found in ${SOURCES.join(' or ')}`)
}

/** The options that keep apt to a directory and a suite. */
function privateApt(directory, suite) {
  const { mirror, keyring } = ownSource()
  for (const path of ['lists/partial', 'cache/archives/partial', 'parts'])
    mkdirSync(join(directory, path), { recursive: true })
  writeFileSync(join(directory, 'status'), '')
  const lines = ['Types: deb', `URIs: ${mirror}`, `Suites: ${suite}`, 'Components: main']
  writeFileSync(
    join(directory, 'debian.sources'),
    [...lines, ...(keyring ? [`Signed-By: ${keyring}`] : []), ''].join('\n'),
  )
  return [
    `Dir::Etc::SourceList=${join(directory, 'debian.sources')}`,
    `Dir::Etc::SourceParts=${join(directory, 'parts')}`,
    `Dir::State=${directory}`,
    `Dir::State::Status=${join(directory, 'status')}`,
    `Dir::Cache=${join(directory, 'cache')}`,
    'Acquire::Languages=none',
    'APT::Install-Recommends=false',
    // The default user may not read a private directory.
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option])
}

/** Downloads the packages, with all they depend on, from the first suite that has them. */
function download(directory, packages) {
  for (const suite of SUITES) {
    const options = privateApt(directory, suite)
    output('apt-get', [...options, 'update'])
    const plan = spawnSync('apt-get', [...options, '--simulate', 'install', ...packages])
    if (plan.status !== 0) continue
    output('apt-get', [...options, '--yes', '--download-only', 'install', ...packages])
    const archives = join(directory, 'cache', 'archives')
    return readdirSync(archives).flatMap((name) => (name.endsWith('.deb') ? [join(archives, name)] : []))
  }
  throw new Failure(`neither of the suites ${SUITES.join(', ')} has ${packages[0]}`)
}

/** Makes the interpreter below `prefix`, which moves to `final`, load what was unpacked beside it. */
function patch(prefix, final, program) {
  const libraries = join(prefix, 'usr/lib')
  const found = readdirSync(libraries).flatMap((triplet) =>
    triplet.includes('-linux-gnu')
      ? readdirSync(join(libraries, triplet)).flatMap((name) =>
          LOADER.test(name) ? [{ triplet, name }] : [],
        )
      : [],
  )
  if (found.length !== 1) throw new Failure('the packages hold no dynamic loader, or several')
  const { triplet, name } = found[0]
  const loader = join('usr/lib', triplet, name)
  const patchelf = (...args) =>
    output(join(prefix, loader), [
      '--library-path',
      join(libraries, triplet),
      join(prefix, 'usr/bin/patchelf'),
      ...args,
      join(prefix, program),
    ])
  // An old kind of run path, which holds for what extension modules load too. Apart from the next: patchelf 0.18 breaks
  // executables at a fixed address when it does both at once, or the other way round.
  patchelf('--force-rpath', '--set-rpath', join(final, 'usr/lib', triplet))
  patchelf('--set-interpreter', join(final, loader))
}

/** Tells `ensurepip` where Debian's wheels lie now, so that virtual environments come with pip. */
function moveWheels(prefix, final, version) {
  const library = join(prefix, 'usr/lib', `python${version}`)
  const wheels = '/usr/share/python-wheels'
  for (const entry of readdirSync(library, { withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.startsWith('_sysconfig')) continue
    const path = join(library, entry.name)
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(wheels, join(final, wheels)))
  }
}

/** Takes away what fetches that were killed have left. */
function clear(directory) {
  for (const name of readdirSync(directory)) {
    const owner = /^\d+\.\d+\.(\d+)(?:\.apt)?$/.exec(name)?.[1]
    if (owner !== undefined && !existsSync(`/proc/${owner}`))
      rmSync(join(directory, name), { recursive: true, force: true })
  }
}

/** Path of the interpreter; fetched where it is not there yet. */
function fetch(version) {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const final = join(cache, 'thaw-python', version)
  const program = join('usr/bin', `python${version}`)
  const python = join(final, program)
  if (existsSync(python)) return python
  const unpacked = `${final}.${process.pid}`
  const apt = `${unpacked}.apt`
  mkdirSync(dirname(final), { recursive: true })
  clear(dirname(final))
  try {
    const wanted = [`python${version}`, `python${version}-venv`, 'python3-pytest', 'patchelf']
    for (const archive of download(apt, wanted)) output('dpkg-deb', ['--extract', archive, unpacked])
    patch(unpacked, final, program)
    moveWheels(unpacked, final, version)
    renameSync(unpacked, final)
    try {
      output(python, ['-c', 'import ssl, sqlite3, ctypes, pytest'])
    } catch (error) {
      rmSync(final, { recursive: true, force: true })
      throw error
    }
  } finally {
    for (const directory of [unpacked, apt]) rmSync(directory, { recursive: true, force: true })
  }
  return python
}

const version = process.argv[2]
if (!/^3\.\d+$/.test(version ?? '')) {
  console.error('usage: fetch-python.mjs VERSION, such as 3.14')
  process.exit(2)
}
try {
  console.log(fetch(version))
} catch (error) {
  if (!(error instanceof Failure)) throw error
  console.error(error.message)
  process.exit(1)
}
