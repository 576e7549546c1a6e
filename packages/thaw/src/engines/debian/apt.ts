/** Packages of Debian, fetched and unpacked into a directory of our own; nothing of the system is changed. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess, ThawError, type Scope } from '../../system/index.js'
import { findSource } from './source.js'

const OUTPUT_KEPT = 4096

export interface Architecture {
  debian: string
  triplet: string
  loader: string
}

const ARCHITECTURES: Partial<Record<NodeJS.Architecture, Architecture>> = {
  x64: { debian: 'amd64', triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { debian: 'arm64', triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
}

/** @throws ThawError SETUP_FAILED */
export function ownArchitecture(): Architecture {
  const architecture = ARCHITECTURES[process.arch]
  if (architecture !== undefined) return architecture
  throw new ThawError('SETUP_FAILED', `Debian's packages do not run on ${process.arch} processors.`)
}

/** apt-get with lists, caches and a source of its own: the machine's own entry for Debian, with another suite. */
export class Apt {
  readonly #directory: string
  readonly #argv: string[]
  readonly #instead: string
  /** The entry, as sources.list has it. */
  readonly source: string

  /**
   * @param directory of its own
   * @param instead what a user can do where it cannot be fetched
   * @throws ThawError SETUP_FAILED where Debian is no source of packages
   */
  constructor(directory: string, suite: string, instead: string) {
    const source = findSource('/etc/apt', suite)
    if (source === null) {
      throw new ThawError(
        'SETUP_FAILED',
        'This machine has no package source of Debian, from which what is missing could be fetched.',
        { hint: instead },
      )
    }
    this.#directory = directory
    this.#instead = instead
    const architecture = ownArchitecture().debian
    this.source = join(directory, `debian.${source.format}`)
    for (const name of ['lists/partial', 'archives/partial'])
      mkdirSync(join(directory, name), { recursive: true })
    writeFileSync(this.source, source.text)
    const settings = {
      'Dir::Etc::sourcelist': this.source,
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::State': directory,
      'Dir::State::lists': join(directory, 'lists'),
      // As on a machine with nothing installed: all that is needed is fetched.
      'Dir::State::status': '/dev/null',
      'Dir::Cache': directory,
      'Dir::Cache::archives': this.#archives,
      'APT::Architecture': architecture,
      'APT::Architectures': architecture,
      // Its own user could not write here.
      'APT::Sandbox::User': '',
      'Acquire::Languages': 'none',
      'Debug::NoLocking': 'true',
    }
    const words = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
    this.#argv = ['apt-get', '-q', ...words]
  }

  /** Reads the list of packages; their signature is checked. @throws ThawError SETUP_FAILED */
  async update(scope: Scope): Promise<void> {
    await this.#run([...this.#argv, 'update'], 'reading the list of packages', scope)
  }

  /**
   * Packages with all that they need.
   *
   * @returns the files
   * @throws ThawError SETUP_FAILED
   */
  async fetch(names: readonly string[], scope: Scope): Promise<string[]> {
    const words = ['install', '--no-install-recommends', '--download-only', '-y', ...names]
    await this.#run([...this.#argv, ...words], `fetching ${names.join(', ')} from Debian`, scope)
    return packagesIn(this.#archives)
  }

  /** One package, without what it needs. @throws ThawError SETUP_FAILED */
  async fetchOne(name: string, scope: Scope): Promise<string> {
    const before = new Set(packagesIn(this.#archives))
    await this.#run([...this.#argv, 'download', name], `fetching ${name}`, scope, this.#archives)
    const found = packagesIn(this.#archives).find((one) => !before.has(one))
    if (found === undefined) throw new ThawError('SETUP_FAILED', `There is no package ${name}.`)
    return found
  }

  /** The packages that one depends on, by name. */
  async needs(file: string, scope: Scope): Promise<string[]> {
    const said = await this.#run(['dpkg-deb', '-f', file, 'Depends'], `reading ${file}`, scope)
    return said.split(',').flatMap((one) => /^\s*([a-z0-9][\w.+-]*)/.exec(one)?.[1] ?? [])
  }

  async unpack(files: readonly string[], into: string, scope: Scope): Promise<void> {
    mkdirSync(into, { recursive: true })
    for (const file of files) await this.#run(['dpkg-deb', '-x', file, into], `unpacking ${file}`, scope)
  }

  get #archives(): string {
    return join(this.#directory, 'archives')
  }

  #run(argv: string[], doing: string, scope: Scope, cwd = '/'): Promise<string> {
    return runTool(argv, { doing, hint: this.#instead, cwd }, scope)
  }
}

/** Version of a package, by its file's name. */
export function versionOf(file: string): string {
  return decodeURIComponent(file.split('/').at(-1)?.split('_')[1] ?? '')
}

/**
 * Runs a tool of the system, with no environment of the user's but the proxies.
 *
 * @returns the last of what it printed
 * @throws ThawError SETUP_FAILED with the last of what it complained of
 */
export async function runTool(
  argv: readonly string[],
  about: { doing: string; hint: string; cwd?: string; env?: Record<string, string> },
  scope: Scope,
): Promise<string> {
  let said = ''
  let child
  try {
    const env = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C.UTF-8',
      DEBIAN_FRONTEND: 'noninteractive',
      ...proxies(),
      ...about.env,
    }
    child = await startProcess(argv, { cwd: about.cwd ?? '/', env, stdio: ['ignore', 'pipe', 'pipe'] }, scope)
  } catch (error) {
    throw new ThawError('SETUP_FAILED', `${about.doing} failed: this machine has no ${argv[0]}.`, {
      cause: error,
      hint: about.hint,
    })
  }
  const take = async (stream: AsyncIterable<unknown> | null) => {
    for await (const chunk of stream ?? []) said = (said + String(chunk)).slice(-OUTPUT_KEPT)
  }
  await Promise.all([take(child.stdout), take(child.stderr)])
  const exit = await child.exited
  if (exit.code === 0) return said
  const lines = said.trim().split('\n')
  if (said.includes('No space left on device'))
    throw new ThawError('DISK_FULL', `${about.doing} failed: the disk is full.`)
  const why = lines.filter((line) => /^(E|W):/.test(line)).at(-1) ?? lines.at(-1) ?? ''
  throw new ThawError('SETUP_FAILED', `${about.doing} failed (${why.replace(/\.?\s*$/, '')}).`)
}

function packagesIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(directory, name))
}

function proxies(): Record<string, string> {
  const names = ['http_proxy', 'https_proxy', 'no_proxy']
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  )
}
