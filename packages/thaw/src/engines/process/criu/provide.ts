/** Finds a criu that works here, or fetches one, and knows why there is none. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { startProcess, ThawError, withTimeout, writeFileAtomic, type Scope } from '../../../system/index.js'
import { Sandbox } from '../sandbox.js'
import { coverRun } from '../setting.js'
import { criuCommand, DIRECTORY, isAtLeast, plainCommand, type Criu } from './criu.js'
import { fetchCriu, findFetched } from './fetch.js'

/** The first kernel whose sockets only criu 4.2 reads. */
const NEW_SOCKETS = [6, 13] as const
const OLDEST = [3, 17] as const
const NEWEST_NEEDED = [4, 2] as const
/** How long criu may look at the kernel. Milliseconds. */
const CHECK_TIMEOUT = 60_000

type Found = Pick<Criu, 'version' | 'source' | 'path' | 'parts'>

/** Whether thaw is to work without root. */
export function needsUserNamespace(): boolean {
  return process.geteuid?.() !== 0
}

export class CriuProvider {
  readonly #cache: string
  #criu: Promise<Criu> | null = null

  /** @param cache directory for what can be made again, shared by every THAW_HOME */
  constructor(cache: string) {
    this.#cache = cache
  }

  /**
   * One that works, fetched where there is none.
   *
   * @param say told what takes time
   * @throws ThawError ENGINE_MISSING, SETUP_FAILED
   */
  get(say: (what: string) => void, scope: Scope): Promise<Criu> {
    this.#criu ??= this.#provide(say, scope).catch((error: unknown) => {
      this.#criu = null
      throw error
    })
    return this.#criu
  }

  /** One that works and is here already; else why there is none. */
  async look(scope: Scope): Promise<Criu | ThawError> {
    if (this.#criu !== null) return this.#criu.catch(ThawError.from)
    const found = await this.#candidates(scope)
    let why: ThawError | null = null
    for (const one of found) {
      const criu = await this.#checked(one, scope)
      if (!(criu instanceof ThawError)) return criu
      why = criu
    }
    return (
      why ??
      new ThawError(
        'ENGINE_MISSING',
        'criu, which copies processes, is not here in a version that fits this kernel.',
        {
          hint: '`thaw setup` fetches it.',
        },
      )
    )
  }

  async #provide(say: (what: string) => void, scope: Scope): Promise<Criu> {
    const here = await this.look(scope)
    if (!(here instanceof ThawError)) return here
    if (findFetched(this.#directory) !== null) throw here
    const fetched = await fetchCriu(this.#directory, say, scope)
    const criu = await this.#checked({ ...fetched, source: 'fetched' }, scope)
    if (criu instanceof ThawError) throw criu
    return criu
  }

  get #directory(): string {
    return join(this.#cache, 'criu')
  }

  async #candidates(scope: Scope): Promise<Found[]> {
    const found: Found[] = []
    const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']
    const path = directories
      .map((one) => join(one, 'criu'))
      .find((one) => one.startsWith('/') && existsSync(one))
    if (path !== undefined) {
      const version = await versionOf({ path, parts: null }, scope)
      if (version !== null && fits(version)) found.push({ version, source: 'system', path, parts: null })
    }
    const fetched = findFetched(this.#directory)
    if (fetched !== null) found.push({ ...fetched, source: 'fetched' })
    return found
  }

  /** With its cache of kernel features; or why it does not work here. */
  async #checked(found: Found, scope: Scope): Promise<Criu | ThawError> {
    const user = needsUserNamespace()
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)
    const name = `features-${found.version}-${release()}-${boot}-${user ? process.geteuid?.() : 'root'}`
    const features = join(this.#cache, 'criu-features', name)
    const criu: Criu = { ...found, user, features }
    if (existsSync(features)) return criu
    try {
      const made = await readFeatures(criu, scope)
      mkdirSync(join(this.#cache, 'criu-features'), { recursive: true, mode: 0o700 })
      await writeFileAtomic(features, made)
      return criu
    } catch (error) {
      return ThawError.from(error)
    }
  }
}

/**
 * Has criu look at the kernel from where it will work, and returns what it found.
 *
 * @throws ThawError ENGINE_MISSING saying what is missing
 */
async function readFeatures(criu: Criu, scope: Scope): Promise<Buffer> {
  const bounded = withTimeout(scope, CHECK_TIMEOUT)
  let sandbox: Sandbox
  try {
    // With a network of its own: what the cache says of sockets needs a loopback interface that is up.
    sandbox = await Sandbox.start(
      { user: criu.user, network: 'private', streams: [null, null, null] },
      bounded,
    )
  } catch (error) {
    throw new ThawError('ENGINE_MISSING', ThawError.from(error).message, {
      cause: error,
      hint: criu.user
        ? 'Allow user namespaces to this user (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or run as root.'
        : 'Run thaw where namespaces may be made: in a container, with the capability SYS_ADMIN.',
    })
  }
  await using _ = sandbox
  coverRun(sandbox, null)
  if (criu.parts !== null) sandbox.tell('directory', String(DIRECTORY.criu), criu.path)
  await sandbox.settle(bounded)
  const unprivileged = criu.user ? ['--unprivileged'] : []
  const argv = [...criuCommand(criu), 'check', '-o', '/run/check.log', ...unprivileged]
  const { status } = await sandbox.criu(argv, bounded)
  const features = readIfThere(sandbox.inside('/run/criu.kdat'))
  // Without root the check asks for more than copying needs.
  if (status !== 0 && !(criu.user && features !== null)) {
    const said = readIfThere(sandbox.inside('/run/check.log'))
    const line =
      said
        ?.toString()
        .split('\n')
        .find((one) => one.includes('Error')) ?? `exit code ${status}`
    throw new ThawError(
      'ENGINE_MISSING',
      `criu ${criu.version} does not work on this kernel (${line.replace(/^\([\d.]+\)\s*/, '')}).`,
      {
        hint: 'The fork engine is not affected; a newer criu or kernel may help.',
      },
    )
  }
  return features ?? Buffer.alloc(0)
}

function readIfThere(file: string): Buffer | null {
  try {
    return readFileSync(file)
  } catch {
    return null
  }
}

function fits(version: string): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  const recent = major > NEW_SOCKETS[0] || (major === NEW_SOCKETS[0] && minor >= NEW_SOCKETS[1])
  const [least, minorLeast] = recent ? NEWEST_NEEDED : OLDEST
  return isAtLeast(version, least, minorLeast)
}

async function versionOf(criu: Pick<Criu, 'path' | 'parts'>, scope: Scope): Promise<string | null> {
  try {
    const child = await startProcess(
      [...plainCommand(criu), '--version'],
      { cwd: '/', stdio: ['ignore', 'pipe', 'ignore'] },
      scope,
    )
    let text = ''
    for await (const chunk of child.stdout ?? []) text += String(chunk)
    return /^Version: (\S+)/m.exec(text)?.[1] ?? null
  } catch {
    return null
  }
}
