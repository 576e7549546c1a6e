/** Whole machines: a kernel of one's own around a program, copied with everything that is in it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Disposables, removeTree, ThawError, withTimeout, type Scope } from '../../system/index.js'
import type { Ability, AnyImage, OutputListener } from '../engine.js'
import { processorDigest } from '../process/image.js'
import { makeDisk, outOfRoom } from './disks.js'
import { FirecrackerMonitor } from './firecracker/machine.js'
import { namedFirecracker } from './firecracker/versions.js'
import { Guest, type GuestProgram } from './guest/guest.js'
import { sealImage, VmImage, type Manifest } from './image.js'
import type { Machine, MachineShape, Monitor } from './monitor.js'
import { findAccelerator } from './probe.js'
import type { Accelerator } from './qemu/flags.js'
import { QemuMonitor } from './qemu/qemu.js'
import { makeRoot } from './root.js'
import type { VmToolsProvider } from './tools.js'
import { GUEST_NETWORK } from './way-out.js'

/** Milliseconds. Under emulation a boot takes 8 to 15 s on a quiet host. */
const BOOT_TIMEOUT = 180_000
const RESTORE_TIMEOUT = 60_000
const HOLD_TIMEOUT = 30_000

export interface VmBoot {
  /** Disk with its root file system. */
  disk: string
  shape: MachineShape
  hostname: string
  /** Called with the monitor's process as soon as it is there. */
  admit?: (pid: number) => void
}

/** How a copy goes on. */
export interface VmRestore {
  hostname: string
  /** Told what the program prints that the machine is there for. */
  listener: OutputListener
  admit?: (pid: number) => void
}

/** Of one user of the engine. */
export interface VmGroup {
  /** Where images lie. */
  readonly images: string
  /** Where machines have theirs. */
  readonly work: string
  /** Names for an image: while it is made, and afterwards. */
  newImage(): { draft: string; final: string }
  /** Ends it with the group, unless it has ended before. */
  keep(living: AsyncDisposable, gone: Promise<void>): void
}

/** What is done in a copy while its programs stand still. */
export type Prepare = (guest: Guest) => Promise<void>

/** A copy that stands still: no instruction of it has run since it was copied. */
export interface HeldMachine extends AsyncDisposable {
  readonly pid: number
  /** It goes on under a name. On failure nothing of it is left. */
  release(hostname: string, scope: Scope, prepare?: Prepare): Promise<VmBranch>
}

/** A machine that runs, and its guest program. Disposing it ends it. */
export class VmBranch implements AsyncDisposable {
  readonly machine: Machine
  readonly guest: Guest
  readonly shape: MachineShape
  /** Of its kernel. */
  readonly release: string
  /** The program that the machine is there for; null in one where it has not been started yet. */
  program: GuestProgram | null
  readonly #cleanup: Disposables

  constructor(parts: {
    machine: Machine
    guest: Guest
    shape: MachineShape
    release: string
    program: GuestProgram | null
    cleanup: Disposables
  }) {
    this.machine = parts.machine
    this.guest = parts.guest
    this.shape = parts.shape
    this.release = parts.release
    this.program = parts.program
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

  /** Makes a disk of a directory. @throws ThawError ENGINE_MISSING, SETUP_FAILED, DISK_FULL */
  async makeDisk(root: string, file: string, scope: Scope): Promise<void> {
    await makeDisk(await this.#provider.get(this.#say, scope), root, file, scope)
  }

  /** Archive of a root file system with packages. @throws ThawError SETUP_FAILED, DISK_FULL */
  makeRoot(packages: readonly string[], scope: Scope): Promise<string> {
    return makeRoot(this.#provider, packages, this.#say, scope)
  }

  /** Boots a machine. Nothing but the guest program runs in it yet. On failure nothing is left. */
  async launch(group: VmGroup, spec: VmBoot, scope: Scope): Promise<VmBranch> {
    const { disk, shape, hostname, admit } = spec
    const monitor = await this.monitor(scope)
    const tools = await this.#provider.get(this.#say, scope)
    const kernel = await tools.kernel()
    const bounded = withTimeout(scope, BOOT_TIMEOUT)
    const { machine, cleanup } = await this.#begin(group, admit, (directory) =>
      monitor.start({ shape, kernel, disk, directory }, bounded),
    )
    const guest = new Guest(machine.channel)
    try {
      // Not before: the time that it is told is to be that of its first program.
      await guest.booted(bounded)
      const release = await guest.renew({ hostname, network: networkOf(shape) }, bounded)
      return new VmBranch({ machine, guest, shape, release, program: null, cleanup })
    } catch (error) {
      const failure = outOfRoom(group.work) ?? withLastWords(error, machine)
      await cleanup[Symbol.asyncDispose]()
      throw failure
    }
  }

  /**
   * A copy of a machine. Before any program of it goes on it has a time, random numbers and a name of its own. On
   * failure the image is as it was.
   *
   * @throws ThawError CHECKPOINT_GONE, IMAGE_MISMATCH, IMAGE_BROKEN, ENGINE_FAILED
   */
  async restore(group: VmGroup, image: AnyImage, spec: VmRestore, scope: Scope): Promise<VmBranch> {
    const held = await this.hold(group, image, spec, scope)
    return await held.release(spec.hostname, scope)
  }

  /** As restore, up to the last step. */
  async hold(
    group: VmGroup,
    image: AnyImage,
    { listener, admit }: Omit<VmRestore, 'hostname'>,
    scope: Scope,
  ): Promise<HeldMachine> {
    if (!(image instanceof VmImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    if (!image.alive) throw new ThawError('CHECKPOINT_GONE', 'The checkpoint is not there any more.')
    const monitor = await this.monitor(scope)
    const differences = await this.differences(image, scope)
    if (differences.length > 0) {
      throw new ThawError('IMAGE_MISMATCH', `The checkpoint does not fit: ${differences.join('; ')}.`)
    }
    image.check()
    const { shape, program: copied, release, lines } = image.manifest
    const bounded = withTimeout(scope, RESTORE_TIMEOUT)
    const { machine, cleanup } = await this.#begin(group, admit, (directory) =>
      monitor.restore({ shape, snapshot: image.directory, directory }, bounded),
    )
    return {
      pid: machine.pid,
      release: async (hostname, until, prepare) => {
        const within = withTimeout(until, RESTORE_TIMEOUT)
        try {
          const guest = new Guest(machine.channel, lines)
          const program = copied === null ? null : guest.adopt(copied.line, copied.pid, listener)
          await machine.resume(within)
          if (prepare !== undefined) {
            await guest.serve(within)
            await prepare(guest)
          }
          await guest.renew({ hostname, network: networkOf(shape) }, within)
          return new VmBranch({ machine, guest, shape, release, program, cleanup })
        } catch (error) {
          const failure = outOfRoom(group.work) ?? withLastWords(error, machine)
          await cleanup[Symbol.asyncDispose]()
          throw failure
        }
      },
      [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
    }
  }

  /** What here differs from where a copy was made, in words; none: it can be restored. */
  async differences(image: VmImage, scope: Scope): Promise<string[]> {
    return image.differences(await this.#identity(await this.monitor(scope), scope))
  }

  /**
   * Copies a machine as it is now. It runs on, also on failure; then nothing is left of the image.
   *
   * @param how.stop whether it ends once it is copied, which spares copying its memory
   * @param how.beside small files that the image keeps, by their names
   * @param how.cut called when all that its programs had printed has been handed over
   */
  async checkpoint(
    group: VmGroup,
    branch: VmBranch,
    how: { stop?: boolean; beside?: Readonly<Record<string, string>>; cut?: () => void },
    scope: Scope,
  ): Promise<VmImage> {
    const { machine, guest, shape, release } = branch
    const monitor = await this.#identity(await this.monitor(scope), scope)
    const names = group.newImage()
    const draft = join(group.images, names.draft)
    const { stop = false } = how
    mkdirSync(draft, { mode: 0o700 })
    try {
      await guest.hold(withTimeout(scope, HOLD_TIMEOUT))
      how.cut?.()
      for (const [name, text] of Object.entries(how.beside ?? {})) {
        writeFileSync(join(draft, name), text, { mode: 0o600 })
      }
      try {
        await machine.pause(scope)
        await machine.save(draft, { stop }, scope)
      } finally {
        if (!stop) {
          await machine.resume(scope)
          await guest.goOn(scope)
        }
      }
      const program =
        branch.program === null ? null : { line: branch.program.number, pid: branch.program.pid }
      const about = { monitor, shape, release, program, lines: guest.lines }
      return await sealImage(draft, join(group.images, names.final), about)
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

  /** A machine with a directory of its own, which goes with it. */
  async #begin(
    group: VmGroup,
    admit: ((pid: number) => void) | undefined,
    begin: (directory: string) => Promise<Machine>,
  ): Promise<{ machine: Machine; cleanup: Disposables }> {
    const cleanup = new Disposables()
    const directory = mkdtempSync(join(group.work, 'm-'))
    cleanup.add(() => rmSync(directory, { recursive: true, force: true }))
    try {
      const machine = cleanup.use(await begin(directory))
      const gone = machine.exited.then(() => cleanup[Symbol.asyncDispose]())
      group.keep(cleanup, gone)
      admit?.(machine.pid)
      return { machine, cleanup }
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

/** What a machine with a way out is told of it. */
const networkOf = ({ network }: MachineShape) => (network === 'none' ? null : GUEST_NETWORK)

function inWords({ name, bootMs, reason }: Accelerator): string {
  if (name === 'kvm') return `with KVM (a kernel booted in ${((bootMs ?? 0) / 1000).toFixed(1)} s)`
  return `by emulation: about twenty times slower than with KVM, since ${reason ?? ''}`
}
