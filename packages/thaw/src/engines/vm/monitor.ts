/** What the vm engine asks of a machine monitor: the program that runs one machine (QEMU, Firecracker). */
import type { Duplex } from 'node:stream'
import type { Exit, Scope } from '../../system/index.js'

/** What makes a machine; a snapshot keeps it, since it can be restored by the same only. */
export interface MachineShape {
  /** Bytes of memory. A multiple of 1 MiB. */
  memory: number
  cpus: number
  /** `user`: a way out, but not to the host's own loopback. */
  network: 'none' | 'user'
}

/** A kernel, and the initial file system with thaw's guest program and the modules that it loads first. */
export interface Kernel {
  /** As `uname -r` has it. */
  release: string
  /** bzImage. */
  image: string
  initrd: string
}

export interface MachineSpec {
  shape: MachineShape
  kernel: Kernel
  /** Disk with the root file system, ext4, raw; never written. */
  disk: string
  /** Private directory of this machine alone, empty: memory, layer of the disk, log. */
  directory: string
}

export interface MachineRestore {
  shape: MachineShape
  /** Directory of a snapshot, as `Machine.save` wrote it; never written. */
  snapshot: string
  directory: string
}

/** What a snapshot is tied to: it can be restored where all of it is the same. */
export interface MonitorIdentity {
  monitor: 'qemu' | 'firecracker'
  version: string
  /** Machine type and accelerator, in the monitor's own words. */
  machine: string
  /** Model of its processors. */
  cpu: string
  /** In their order. */
  devices: string[]
}

export interface Monitor {
  identity(scope: Scope): Promise<MonitorIdentity>
  /** Boots. On failure nothing is left but what is in the directory, which is the caller's. */
  start(spec: MachineSpec, scope: Scope): Promise<Machine>
  /**
   * Brings a machine back, paused: no instruction of it has run. Memory is shared with the snapshot and every other
   * machine of it until one of them writes. On failure the snapshot is as it was.
   *
   * @throws ThawError ENGINE_FAILED, IMAGE_BROKEN
   */
  restore(spec: MachineRestore, scope: Scope): Promise<Machine>
}

/** One machine. Disposing it ends it. */
export interface Machine extends AsyncDisposable {
  /** The monitor's process. */
  readonly pid: number
  /** Of the monitor; a machine that reboots or powers off ends it. */
  readonly exited: Promise<Exit>
  /** To the guest program; the protocol is in docs/guest-protocol.md. */
  readonly channel: Duplex
  /** What the kernel and the monitor said last, for errors. */
  said(): string
  pause(scope: Scope): Promise<void>
  resume(scope: Scope): Promise<void>
  /**
   * Writes memory, devices and the layer of the disk into a directory, which is the caller's to remove on failure.
   * Prerequisite: paused, and the guest program is quiet.
   * On success the machine is paused and may go on (`stop` false), or has ended and its memory was moved (`stop` true).
   * On failure it is paused as it was.
   *
   * @throws ThawError ENGINE_FAILED, DISK_FULL
   */
  save(directory: string, how: { stop: boolean }, scope: Scope): Promise<void>
}
