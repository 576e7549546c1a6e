/** Fetches criu from Debian into a directory of our own; nothing of the system is changed. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import {
  checkScope,
  Disposables,
  startProcess,
  takeLock,
  ThawError,
  type Scope,
} from '../../../system/index.js'
import type { Criu } from './criu.js'
import { findSource } from './source.js'

/** The suite with a criu that knows the newest kernels. */
const SUITE = 'sid'
const ARCHITECTURES: Partial<
  Record<NodeJS.Architecture, { debian: string; triplet: string; loader: string }>
> = {
  x64: { debian: 'amd64', triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { debian: 'arm64', triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
}
/** What a loader and a program do not need. */
const NOT_NEEDED = ['usr/share', 'etc', 'var']
const RECORD = 'criu.json'
const OUTPUT_KEPT = 4096

const Record = z.object({
  version: z.string(),
  parts: z.object({ loader: z.string(), libraries: z.string(), program: z.string() }),
})

export type Fetched = Pick<Criu, 'version' | 'path' | 'parts'>

/** What has been fetched before; the newest. */
export function findFetched(directory: string): Fetched | null {
  const names = existsSync(directory) ? readdirSync(directory).sort().reverse() : []
  for (const name of names) {
    const path = join(directory, name)
    // Written last: a directory without it is not whole.
    if (!existsSync(join(path, RECORD))) continue
    const read = Record.safeParse(JSON.parse(readFileSync(join(path, RECORD), 'utf8')))
    if (read.success && existsSync(join(path, read.data.parts.program))) return { path, ...read.data }
  }
  return null
}

/**
 * Fetches it, unless another process does so at this moment; that one is then waited for.
 *
 * @param directory where versions lie side by side
 * @throws ThawError SETUP_FAILED; nothing half is left behind
 */
export async function fetchCriu(
  directory: string,
  say: (what: string) => void,
  scope: Scope,
): Promise<Fetched> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  await using cleanup = new Disposables()
  for (;;) {
    const lock = takeLock(`${directory}.lock`)
    if (!('heldBy' in lock)) {
      cleanup.use(lock)
      break
    }
    checkScope(scope, 'waiting for another process that fetches criu')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const there = findFetched(directory)
  if (there !== null) return there
  // Left by a process that was killed: only the holder of the lock has one.
  for (const name of readdirSync(directory)) if (name.startsWith('new-')) remove(join(directory, name))
  const temp = mkdtempSync(join(directory, 'new-'))
  cleanup.add(() => remove(temp))
  say('fetching criu from Debian (once, about 11 MB of package lists and 9 MB of packages)')
  return await unpack(directory, temp, scope)
}

async function unpack(directory: string, temp: string, scope: Scope): Promise<Fetched> {
  const architecture = ARCHITECTURES[process.arch]
  if (architecture === undefined) {
    throw new ThawError('SETUP_FAILED', `Debian's criu does not run on ${process.arch} processors.`)
  }
  const apt = await privateApt(temp, architecture.debian)
  await command([...apt, 'update'], 'reading the list of packages', scope)
  await command(
    [...apt, 'install', '--no-install-recommends', '--download-only', '-y', 'criu'],
    'fetching the packages',
    scope,
  )
  const archives = join(temp, 'archives')
  const packages = readdirSync(archives).filter((name) => name.endsWith('.deb'))
  const own = packages.find((name) => name.startsWith('criu_'))
  if (own === undefined) throw new ThawError('SETUP_FAILED', 'The packages hold no criu.')
  const version = decodeURIComponent(own.split('_')[1] ?? '')
  const fresh = join(temp, 'fresh')
  mkdirSync(fresh)
  for (const name of packages) {
    await command(['dpkg-deb', '-x', join(archives, name), fresh], `unpacking ${name}`, scope)
  }
  for (const name of NOT_NEEDED) remove(join(fresh, name))
  const libraries = join('usr', 'lib', architecture.triplet)
  remove(join(fresh, libraries, 'gconv'))
  const parts = {
    loader: join(libraries, architecture.loader),
    libraries,
    program: join('usr', 'sbin', 'criu'),
  }
  for (const part of Object.values(parts)) {
    if (!existsSync(join(fresh, part))) throw new ThawError('SETUP_FAILED', `The packages hold no ${part}.`)
  }
  writeFileSync(join(fresh, RECORD), `${JSON.stringify({ version, parts })}\n`)
  const path = join(directory, `${version}-${architecture.debian}`)
  renameSync(fresh, path)
  return { path, version, parts }
}

/** apt-get with lists, caches and a source of its own: the machine's own entry for Debian, with another suite. */
async function privateApt(temp: string, architecture: string): Promise<string[]> {
  const source = findSource('/etc/apt', SUITE)
  if (source === null) {
    throw new ThawError(
      'SETUP_FAILED',
      'This machine has no package source of Debian, from which criu could be fetched.',
      {
        hint: 'Install criu 4.2 or later by hand, so that it is on PATH; everything else works without it.',
      },
    )
  }
  const sources = join(temp, `debian.${source.format}`)
  writeFileSync(sources, source.text)
  for (const name of ['lists/partial', 'archives/partial']) mkdirSync(join(temp, name), { recursive: true })
  const settings = {
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State': temp,
    'Dir::State::lists': join(temp, 'lists'),
    // As on a machine with nothing installed: all that criu needs is fetched.
    'Dir::State::status': '/dev/null',
    'Dir::Cache': temp,
    'Dir::Cache::archives': join(temp, 'archives'),
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    // Its own user could not write here.
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Debug::NoLocking': 'true',
  }
  return ['apt-get', '-q', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])]
}

async function command(argv: string[], doing: string, scope: Scope): Promise<void> {
  let said = ''
  let child
  try {
    const env = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C.UTF-8',
      DEBIAN_FRONTEND: 'noninteractive',
      ...proxies(),
    }
    child = await startProcess(argv, { cwd: '/', env, stdio: ['ignore', 'pipe', 'pipe'] }, scope)
  } catch (error) {
    throw new ThawError('SETUP_FAILED', `criu cannot be fetched: this machine has no ${argv[0]}.`, {
      cause: error,
      hint: 'Install criu 4.2 or later by hand, so that it is on PATH; everything else works without it.',
    })
  }
  const take = async (stream: AsyncIterable<unknown> | null) => {
    for await (const chunk of stream ?? []) said = (said + String(chunk)).slice(-OUTPUT_KEPT)
  }
  await Promise.all([take(child.stdout), take(child.stderr)])
  const exit = await child.exited
  if (exit.code === 0) return
  const why =
    said
      .split('\n')
      .filter((line) => /^(E|W):/.test(line))
      .at(-1) ??
    said.trim().split('\n').at(-1) ??
    ''
  throw new ThawError(
    'SETUP_FAILED',
    `criu could not be fetched: ${doing} failed (${why.replace(/\.?\s*$/, '')}).`,
  )
}

function proxies(): Record<string, string> {
  const names = ['http_proxy', 'https_proxy', 'no_proxy']
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  )
}

function remove(path: string): void {
  // What a process that was killed had started may still be writing.
  rmSync(path, { recursive: true, force: true, maxRetries: 5 })
}
