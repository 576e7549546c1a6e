/** Whole machines: a kernel of one's own around a program, copied with everything that is in it. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Disposables, removeTree, ThawError, withTimeout, type Scope } from '../../system/index.js'
import type { Ability, AnyImage } from '../engine.js'
import { processorDigest } from '../process/image.js'
import { FirecrackerMonitor } from './firecracker/machine.js'
import { namedFirecracker } from './firecracker/versions.js'
import { Guest, type GuestIdentity } from './guest/guest.js'
import { sealImage, VmImage, type Manifest } from './image.js'
import type { Machine, MachineShape, Monitor } from './monitor.js'
import { findAccelerator } from './probe.js'
import type { Accelerator } from './qemu/flags.js'
import { QemuMonitor } from './qemu/qemu.js'
import type { VmToolsProvider } from './tools.js'

/** Milliseconds. Under emulation a boot takes 8 to 15 s on a quiet host. */
const BOOT_TIMEOUT = 180_000
const RESTORE_TIMEOUT = 60_000
const HOLD_TIMEOUT = 30_000
/** User-mode networking, the same in each machine: nobody else is on its network. */
const USER_NETWORK = { address: '10.0.2.15', gateway: '10.0.2.2', names: '10.0.2.3' }

export interface VmBoot {
  /** Disk with its root file system. */
  disk: string
  shape: MachineShape
  hostname: string
}

/** Directories of one user of the engine. */
export interface VmGroup {
  /** Where images lie. */
  images: string
  /** Where machines have theirs. */
  work: string
}

/** A machine that runs, and its guest program. Disposing it ends it. */
export class VmBranch implements AsyncDisposable {
  readonly machine: Machine
  readonly guest: Guest
  readonly shape: MachineShape
  /** Of its kernel. */
  readonly release: string
  /** The program that it is there for, as it was when it was copied; null in one that was booted. */
  readonly copied: Manifest['program']
  readonly #cleanup: Disposables

  constructor(parts: {
    machine: Machine
    guest: Guest
    shape: MachineShape
    release: string
    copied: Manifest['program']
    cleanup: Disposables
  }) {
    this.machine = parts.machine
    this.guest = parts.guest
    this.shape = parts.shape
    this.release = parts.release
    this.copied = parts.copied
    this.#cleanup = parts.cleanup
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup[Symbol.asyncDispose]()
  }
}

export class VmEngine {
  readonly name = 'vm'
  readonly #provider: VmToolsProvider
  readonly #say: (what: string) => void
  #monitor: Promise<Monitor> | null = null

  constructor(provider: VmToolsProvider, say: (what: string) => void = () => {}) {
    this.#provider = provider
    this.#say = say
  }

  /** What works here, without anything being fetched. */
  async probe(scope: Scope): Promise<Ability[]> {
    const tools = this.#provider.look()
    if (tools instanceof ThawError) {
      return [{ name: 'machines of one’s own', works: false, reason: `${tools.message} ${tools.hint}` }]
    }
    const accelerator = await findAccelerator(tools, this.#provider.directory, scope)
    return [{ name: `machines, by QEMU ${tools.version} ${inWords(accelerator)}`, works: true, reason: null }]
  }

  /** Boots a machine. Nothing but the guest program runs in it yet. On failure nothing is left. */
  async launch(group: VmGroup, { disk, shape, hostname }: VmBoot, scope: Scope): Promise<VmBranch> {
    const monitor = await this.monitor(scope)
    const tools = await this.#provider.get(this.#say, scope)
    const kernel = await tools.kernel()
    const bounded = withTimeout(scope, BOOT_TIMEOUT)
    return await this.#open(group, shape, hostname, 'boots', bounded, (directory) =>
      monitor.start({ shape, kernel, disk, directory }, bounded),
    )
  }

  /**
   * A copy of a machine. Before any program of it goes on it has a time, random numbers, a name and an address of its
   * own. On failure the image is as it was.
   *
   * @throws ThawError CHECKPOINT_GONE, IMAGE_MISMATCH, IMAGE_BROKEN, ENGINE_FAILED
   */
  async restore(group: VmGroup, image: AnyImage, hostname: string, scope: Scope): Promise<VmBranch> {
    if (!(image instanceof VmImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    if (!image.alive) throw new ThawError('CHECKPOINT_GONE', 'The checkpoint is not there any more.')
    const monitor = await this.monitor(scope)
    const differences = image.differences(await this.#identity(monitor, scope))
    if (differences.length > 0) {
      throw new ThawError('IMAGE_MISMATCH', `The checkpoint does not fit: ${differences.join('; ')}.`)
    }
    image.check()
    const { shape, program } = image.manifest
    const bounded = withTimeout(scope, RESTORE_TIMEOUT)
    return await this.#open(group, shape, hostname, program, bounded, async (directory) => {
      const machine = await monitor.restore({ shape, snapshot: image.directory, directory }, bounded)
      try {
        await machine.resume(bounded)
        return machine
      } catch (error) {
        await machine[Symbol.asyncDispose]()
        throw error
      }
    })
  }

  /**
   * Copies a machine as it is now. It runs on, also on failure; then nothing is left of the image.
   *
   * @param name of the image's directory
   * @param how.program that the machine is there for
   * @param how.stop whether it ends once it is copied, which spares copying its memory
   * @param how.cut called when all that its programs had printed has been handed over
   */
  async checkpoint(
    group: VmGroup,
    branch: VmBranch,
    name: string,
    how: { program: Manifest['program']; stop?: boolean; cut?: () => void },
    scope: Scope,
  ): Promise<VmImage> {
    const { machine, guest, shape, release } = branch
    const monitor = await this.#identity(await this.monitor(scope), scope)
    const draft = join(group.images, `${name}.draft`)
    const { stop = false } = how
    mkdirSync(draft, { mode: 0o700 })
    try {
      await guest.hold(withTimeout(scope, HOLD_TIMEOUT))
      how.cut?.()
      try {
        await machine.pause(scope)
        await machine.save(draft, { stop }, scope)
      } finally {
        if (!stop) {
          await machine.resume(scope)
          await guest.goOn(scope)
        }
      }
      const about = { monitor, shape, release, program: how.program }
      return await sealImage(draft, join(group.images, name), about)
    } catch (error) {
      if (stop) await goOn(branch, scope)
      removeTree(draft)
      throw error
    }
  }

  /** The one that is used here. @throws ThawError ENGINE_MISSING, SETUP_FAILED */
  monitor(scope: Scope): Promise<Monitor> {
    this.#monitor ??= this.#choose(scope).catch((error: unknown) => {
      this.#monitor = null
      throw error
    })
    return this.#monitor
  }

  async #choose(scope: Scope): Promise<Monitor> {
    const tools = await this.#provider.get(this.#say, scope)
    const { name, reason } = await findAccelerator(tools, this.#provider.directory, scope)
    const firecracker = namedFirecracker()
    if (firecracker === null) return new QemuMonitor(tools, name)
    if (name === 'kvm') return new FirecrackerMonitor(firecracker)
    throw new ThawError('ENGINE_MISSING', `Firecracker needs KVM: ${reason}.`, {
      hint: 'Without THAW_FIRECRACKER, machines are run by QEMU, which can do without KVM.',
    })
  }

  async #identity(monitor: Monitor, scope: Scope): Promise<Manifest['monitor']> {
    const identity = await monitor.identity(scope)
    const emulated = identity.machine.endsWith('tcg')
    return { ...identity, processor: emulated ? null : processorDigest() }
  }

  async #open(
    group: VmGroup,
    shape: MachineShape,
    hostname: string,
    from: 'boots' | Manifest['program'],
    scope: Scope,
    begin: (directory: string) => Promise<Machine>,
  ): Promise<VmBranch> {
    const cleanup = new Disposables()
    const directory = mkdtempSync(join(group.work, 'm-'))
    cleanup.add(() => rmSync(directory, { recursive: true, force: true }))
    try {
      const machine = cleanup.use(await begin(directory))
      const guest = new Guest(machine.channel)
      const identity: GuestIdentity = { hostname, network: shape.network === 'none' ? null : USER_NETWORK }
      const copied = from === 'boots' ? null : from
      try {
        // Not before: the time that it is told is to be that of its first program.
        if (from === 'boots') await guest.booted(scope)
        const release = await guest.renew(identity, scope)
        return new VmBranch({ machine, guest, shape, release, copied, cleanup })
      } catch (error) {
        throw withLastWords(error, machine)
      }
    } catch (error) {
      await cleanup[Symbol.asyncDispose]()
      throw error
    }
  }
}

/** After a checkpoint that was to end it and failed; one that is gone already cannot go on. */
async function goOn({ machine, guest }: VmBranch, scope: Scope): Promise<void> {
  try {
    await machine.resume(scope)
    await guest.goOn(scope)
  } catch (error) {
    scope.log.warn('A machine did not go on after a failed checkpoint.', { error })
  }
}

function withLastWords(error: unknown, machine: Machine): ThawError {
  const { code, message } = ThawError.from(error)
  const said = machine.said().slice(-300)
  return new ThawError(
    code === 'INTERNAL' ? 'ENGINE_FAILED' : code,
    `${message}${said === '' ? '' : ` The machine said last: ${said}`}`,
    { cause: error },
  )
}

function inWords({ name, bootMs, reason }: Accelerator): string {
  if (name === 'kvm') return `with KVM (a kernel booted in ${((bootMs ?? 0) / 1000).toFixed(1)} s)`
  return `by emulation: about twenty times slower than with KVM, since ${reason ?? ''}`
}
