/** Firecracker behind the vm engine's interface. */
import { rm, symlink } from 'node:fs/promises'
import { release } from 'node:os'
import { join } from 'node:path'
import { Disposables, ThawError, withTimeout, type Exit, type Scope } from '../../../system/index.js'
import { copySparse, linkFile } from '../disks.js'
import type {
  Machine,
  MachineRestore,
  MachineShape,
  MachineSpec,
  Monitor,
  MonitorIdentity,
} from '../monitor.js'
import { GUEST_MAC, openWayOut, TAP } from '../way-out.js'
import { GuestStream } from './guest-stream.js'
import { elfKernel } from './kernel-image.js'
import { askFirecracker, type Firecracker } from './versions.js'
import { SOCKET, VmmProcess } from './vmm-process.js'

/** Where the guest program listens. */
const GUEST_PORT = 1024
/** Any above 2 will do: it is seen in the machine only. */
const GUEST_CID = 3
const MIB = 1 << 20
/** Names in a machine's directory; those of a snapshot are the last three. */
const FILE = { kernel: 'kernel', initrd: 'initrd', disk: 'disk', state: 'state', memory: 'memory' } as const
/** In a machine's directory: leads to where a snapshot is being written. */
const SAVE = 'save'
/** A machine ends by resetting itself through the keyboard's controller: that is what ends Firecracker on x86. */
const BOOT_ARGS =
  'console=ttyS0 quiet reboot=k panic=-1 pci=off i8042.noaux i8042.nomux i8042.dumbkbd random.trust_cpu=on thaw_vsock=1'
const CONFIGURE_TIMEOUT = 30_000

export class FirecrackerMonitor implements Monitor {
  readonly #path: string
  #asked: Promise<Firecracker> | null = null

  /** @param path of Firecracker, as `findFirecracker` finds it */
  constructor(path: string) {
    this.#path = path
  }

  async identity(scope: Scope): Promise<MonitorIdentity> {
    const { version, snapshotVersion } = await this.#program(scope)
    // What is kept of KVM's state means the same on the same kernel only.
    const machine = `snapshot format ${snapshotVersion}, KVM of Linux ${release()}`
    // Those of `configure`.
    return { monitor: 'firecracker', version, machine, cpu: 'host', devices: ['block', 'vsock', 'entropy'] }
  }

  async start(spec: MachineSpec, scope: Scope): Promise<Machine> {
    await this.#program(scope)
    const { directory, kernel, shape } = spec
    await symlink(await elfKernel(kernel.image, scope), join(directory, FILE.kernel))
    await symlink(kernel.initrd, join(directory, FILE.initrd))
    await copySparse(spec.disk, join(directory, FILE.disk), scope)
    return await FirecrackerMachine.make(this.#path, directory, shape, scope, async (vmm) => {
      const limited = withTimeout(scope, CONFIGURE_TIMEOUT)
      await configure(vmm, shape, limited)
      await vmm.api.start(limited)
    })
  }

  async restore(spec: MachineRestore, scope: Scope): Promise<Machine> {
    await this.#program(scope)
    const { directory, snapshot, shape } = spec
    for (const name of [FILE.state, FILE.memory]) {
      await symlink(join(snapshot, name), join(directory, name))
    }
    await copySparse(join(snapshot, FILE.disk), join(directory, FILE.disk), scope)
    return await FirecrackerMachine.make(this.#path, directory, shape, scope, async (vmm) => {
      await vmm.api.loadSnapshot({ snapshot_path: FILE.state, mem_file_path: FILE.memory }, scope)
    })
  }

  /** Asked once; what fails is asked again. */
  #program(scope: Scope): Promise<Firecracker> {
    this.#asked ??= askFirecracker(this.#path, scope).catch((error: unknown) => {
      this.#asked = null
      throw error
    })
    return this.#asked
  }
}

/** All paths are relative to the machine's directory: so each clone finds what is its own under the names it knows. */
async function configure({ api }: VmmProcess, shape: MachineShape, scope: Scope): Promise<void> {
  if (shape.memory % MIB !== 0) throw new RangeError('A machine has whole MiB of memory.')
  const size = { vcpu_count: shape.cpus, mem_size_mib: shape.memory / MIB }
  await api.configure({ ...size, smt: false, track_dirty_pages: false }, scope)
  await api.bootSource(
    { kernel_image_path: FILE.kernel, initrd_path: FILE.initrd, boot_args: BOOT_ARGS },
    scope,
  )
  await api.drive(
    {
      drive_id: FILE.disk,
      path_on_host: FILE.disk,
      // The initial file system mounts it; the kernel is not to be told of a root.
      is_root_device: false,
      is_read_only: false,
      cache_type: 'Unsafe',
    },
    scope,
  )
  await api.vsock({ guest_cid: GUEST_CID, uds_path: SOCKET.guest }, scope)
  await api.entropy(scope)
  if (shape.network === 'user') {
    await api.networkInterface({ iface_id: 'eth0', host_dev_name: TAP, guest_mac: GUEST_MAC }, scope)
  }
}

class FirecrackerMachine implements Machine {
  readonly channel: GuestStream
  readonly #vmm: VmmProcess
  readonly #directory: string
  readonly #owned: Disposables

  private constructor(vmm: VmmProcess, directory: string, owned: Disposables) {
    this.#vmm = vmm
    this.#directory = directory
    this.#owned = owned
    this.channel = new GuestStream(vmm.guestSocket, GUEST_PORT)
    owned.add(() => this.channel.destroy())
    void vmm.exited.then(() => this.channel.destroy())
  }

  /** @param begin what makes a machine of a fresh process */
  static async make(
    binary: string,
    directory: string,
    shape: MachineShape,
    scope: Scope,
    begin: (vmm: VmmProcess) => Promise<void>,
  ): Promise<FirecrackerMachine> {
    const owned = new Disposables()
    try {
      const network = shape.network === 'user' ? 'tap' : 'none'
      const vmm = owned.use(await VmmProcess.start({ binary, id: 'thaw', directory, network }, scope))
      if (network === 'tap') owned.use(await openWayOut(vmm.init, scope))
      await begin(vmm)
      const machine = new FirecrackerMachine(vmm, directory, owned)
      if ((await vmm.api.instance(scope)).state === 'Running') machine.channel.connect()
      return machine
    } catch (error) {
      await owned[Symbol.asyncDispose]()
      throw error
    }
  }

  get pid(): number {
    return this.#vmm.pid
  }

  get exited(): Promise<Exit> {
    return this.#vmm.exited
  }

  said(): string {
    return this.#vmm.said
  }

  /** A snapshot ends every connection of the guest's. So this one ends in order before, and is made again. */
  async pause(scope: Scope): Promise<void> {
    await this.channel.disconnect()
    await this.#vmm.api.pause(scope)
  }

  async resume(scope: Scope): Promise<void> {
    await this.#vmm.api.resume(scope)
    this.channel.connect()
  }

  async save(directory: string, how: { stop: boolean }, scope: Scope): Promise<void> {
    const way = join(this.#directory, SAVE)
    const disk = join(this.#directory, FILE.disk)
    await symlink(directory, way)
    try {
      await this.#vmm.api.createSnapshot(
        { snapshot_path: `${SAVE}/${FILE.state}`, mem_file_path: `${SAVE}/${FILE.memory}` },
        scope,
      )
      // A paused machine writes nothing; of one that will not go on, the disk itself serves, under a second name.
      const kept = join(directory, FILE.disk)
      await (how.stop ? linkFile(disk, kept, scope) : copySparse(disk, kept, scope))
    } catch (error) {
      throw withoutRoom(error)
    } finally {
      await rm(way)
    }
    if (how.stop) await this[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]()
  }
}

/** Firecracker tells of a full disk in words only. */
function withoutRoom(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  const full = code === 'ENOSPC' || (code === 'ENGINE_FAILED' && /No space left|os error 28\b/.test(message))
  return full ? new ThawError('DISK_FULL', 'There is no room for the snapshot.', { cause: error }) : error
}
