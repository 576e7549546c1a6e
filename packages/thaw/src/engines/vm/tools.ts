/** What machines need of the host: QEMU, a kernel, tools for disks. Fetched from Debian into thaw's cache. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ThawError, type Scope } from '../../system/index.js'
import { Apt, ownArchitecture, runTool, versionOf } from '../debian/apt.js'
import { findFetched, makeFetched } from '../debian/fetched.js'
import { makeInitrd } from './initrd.js'
import type { Kernel } from './monitor.js'

/** Of one release, so that versions change only with security updates. */
export const SUITE = 'trixie'
const PACKAGES = ['qemu-system-x86', 'qemu-utils', 'e2fsprogs']
const RECORD = 'vm.json'
const NOT_NEEDED = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/info', 'etc', 'var']
const INSTEAD = 'Machines need a host with apt and a package source of Debian; the other engines do not.'

const Record = z.object({
  version: z.string(),
  kernel: z.string(),
  libraries: z.string(),
  loader: z.string(),
})

type Program = 'usr/bin/qemu-system-x86_64' | 'usr/bin/qemu-img' | 'usr/sbin/mke2fs' | 'usr/sbin/debugfs'

/** Tools that are here. */
export class VmTools {
  readonly path: string
  /** Of QEMU, as Debian has it. */
  readonly version: string
  readonly #about: z.infer<typeof Record>

  constructor(path: string, about: z.infer<typeof Record>) {
    this.path = path
    this.version = about.version
    this.#about = about
  }

  /** Of the kernel. */
  get release(): string {
    return this.#about.kernel
  }

  /** Command line of one of the programs: below its own loader, since the system's libraries are others. */
  command(program: Program): string[] {
    const { loader, libraries } = this.#about
    const at = (name: string) => join(this.path, name)
    return [at(loader), '--library-path', at(libraries), at(program)]
  }

  /** Directories with firmware, for QEMU. */
  get firmware(): string[] {
    return ['usr/share/seabios', 'usr/share/qemu'].map((name) => join(this.path, name))
  }

  /** Perl script that makes root file systems. */
  get mmdebstrap(): string {
    return join(this.path, 'usr/bin/mmdebstrap')
  }

  /** The kernel, with the initial file system that fits this thaw. */
  async kernel(): Promise<Kernel> {
    const release = this.#about.kernel
    return {
      release,
      image: join(this.path, 'boot', `vmlinuz-${release}`),
      initrd: await makeInitrd(join(this.path, 'usr/lib/modules', release), this.path),
    }
  }

  /** @throws ThawError SETUP_FAILED */
  run(program: Program, words: readonly string[], doing: string, scope: Scope): Promise<string> {
    return runTool([...this.command(program), ...words], { doing, hint: INSTEAD }, scope)
  }
}

export class VmToolsProvider {
  readonly #directory: string
  #tools: Promise<VmTools> | null = null

  /** @param cache directory for what can be made again, shared by every THAW_HOME */
  constructor(cache: string) {
    this.#directory = join(cache, 'vm')
  }

  /** Where what is made for machines may lie, too. */
  get directory(): string {
    return this.#directory
  }

  /** What is here already; else why there is none. */
  look(): VmTools | ThawError {
    if (process.arch !== 'x64') {
      return new ThawError('ENGINE_MISSING', `Machines do not work on ${process.arch} processors yet.`, {
        hint: 'Use the process engine.',
      })
    }
    const found = findFetched(this.#tree, RECORD, Record)
    if (found !== null && existsSync(join(found.path, 'usr/bin/qemu-system-x86_64'))) {
      return new VmTools(found.path, found.about)
    }
    return new ThawError('ENGINE_MISSING', 'QEMU and a kernel for machines are not here.', {
      hint: '`thaw setup --engine vm` fetches them (110 MB).',
    })
  }

  /**
   * Fetches what is missing.
   *
   * @param say told what takes time
   * @throws ThawError ENGINE_MISSING, SETUP_FAILED
   */
  get(say: (what: string) => void, scope: Scope): Promise<VmTools> {
    this.#tools ??= this.#provide(say, scope).catch((error: unknown) => {
      this.#tools = null
      throw error
    })
    return this.#tools
  }

  get #tree(): string {
    return join(this.#directory, 'tools')
  }

  async #provide(say: (what: string) => void, scope: Scope): Promise<VmTools> {
    const here = this.look()
    if (!(here instanceof ThawError)) return here
    if (process.arch !== 'x64') throw here
    const find = () => {
      const found = this.look()
      return found instanceof ThawError ? null : found
    }
    const make = (temp: string, fresh: string) => {
      say('fetching QEMU and a kernel from Debian (once, about 110 MB)')
      return unpack(temp, fresh, scope)
    }
    const made = await makeFetched(this.#tree, RECORD, find, make, scope)
    if (made === null) throw new ThawError('SETUP_FAILED', `QEMU was fetched, and is not in ${this.#tree}.`)
    return made
  }
}

async function unpack(
  temp: string,
  fresh: string,
  scope: Scope,
): Promise<{ name: string; about: z.infer<typeof Record> }> {
  const { triplet, loader } = ownArchitecture()
  const apt = new Apt(temp, SUITE, INSTEAD)
  await apt.update(scope)
  const packages = await apt.fetch(PACKAGES, scope)
  const qemu = packages.find((file) => /\/qemu-system-x86_[^/]*$/.test(file))
  if (qemu === undefined) throw new ThawError('SETUP_FAILED', 'The packages hold no QEMU.')
  // Without what they need, which is for machines that boot from their own disks, and a Perl that every Debian has.
  const newest = await apt.fetchOne('linux-image-cloud-amd64', scope)
  const image = (await apt.needs(newest, scope)).find((name) => name.startsWith('linux-image-'))
  if (image === undefined) throw new ThawError('SETUP_FAILED', 'The packages hold no kernel.')
  const kernel = await apt.fetchOne(image, scope)
  const mmdebstrap = await apt.fetchOne('mmdebstrap', scope)
  await apt.unpack([...packages, kernel, mmdebstrap], fresh, scope)
  for (const name of NOT_NEEDED) rmSync(join(fresh, name), { recursive: true, force: true })
  const release = readdirSync(join(fresh, 'usr/lib/modules'))[0] ?? ''
  const libraries = join('usr/lib', triplet)
  // Without the epoch: a colon ends a directory in a loader's list.
  const version = versionOf(qemu).replace(/^\d+:/, '')
  return {
    name: `${version}-${release}`,
    about: { version, kernel: release, libraries, loader: join(libraries, loader) },
  }
}
