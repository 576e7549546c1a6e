/** Machines by QEMU: shared memory files, so that a snapshot is the devices' state and a name for the memory. */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { checkScope, ThawError, withTimeout, type Exit, type Scope } from '../../../system/index.js'
import { addLayer, chainOf, copySparse, diskName, linkChain, linkFile, outOfRoom } from '../disks.js'
import type {
  Machine,
  MachineRestore,
  MachineShape,
  MachineSpec,
  Monitor,
  MonitorIdentity,
} from '../monitor.js'
import type { VmTools } from '../tools.js'
import { hardwareOf, machineWords, type Accelerator, type Files, type MachineType } from './flags.js'
import { QemuProcess } from './process.js'
import type { Qmp } from './qmp.js'

/** Files of a machine, and of a snapshot, beside the chain of disks. */
const MEMORY = 'memory'
const STATE = 'state'
const KERNEL = 'kernel'
const INITRD = 'initrd'
/** Milliseconds. */
const START_TIMEOUT = 30_000
const MIGRATION_TIMEOUT = 120_000
const MIGRATION_LOOK = 2

export class QemuMonitor implements Monitor {
  readonly #tools: VmTools
  readonly #accelerator: Accelerator['name']
  readonly #type: MachineType

  constructor(tools: VmTools, accelerator: Accelerator['name'], type: MachineType = 'microvm') {
    this.#tools = tools
    this.#accelerator = accelerator
    this.#type = type
  }

  identity(): Promise<MonitorIdentity> {
    const machine = `${this.#type}, ${this.#accelerator}`
    const anywhere = { kernel: '', initrd: '', disk: '', memory: '', shared: false }
    const hardware = hardwareOf(this.#words({ memory: 0, cpus: 1, network: 'none' }, anywhere))
    return Promise.resolve({ monitor: 'qemu', version: this.#tools.version, machine, ...hardware })
  }

  async start({ shape, kernel, disk, directory }: MachineSpec, scope: Scope): Promise<Machine> {
    await linkFile(disk, join(directory, diskName(0)), scope)
    // A snapshot is restored with the kernel that it was made with: it is on QEMU's command line.
    await linkFile(kernel.image, join(directory, KERNEL), scope)
    await linkFile(kernel.initrd, join(directory, INITRD), scope)
    const files = await this.#files(directory, join(directory, MEMORY), true, scope)
    const qemu = await this.#launch(shape, files, [], directory, scope)
    return new QemuMachine(this, qemu, shape, directory, true)
  }

  async restore({ shape, snapshot, directory }: MachineRestore, scope: Scope): Promise<Machine> {
    await linkChain(snapshot, directory, scope)
    for (const name of [KERNEL, INITRD]) await linkFile(join(snapshot, name), join(directory, name), scope)
    const files = await this.#files(directory, join(snapshot, MEMORY), false, scope)
    const qemu = await this.#launch(shape, files, ['-S', '-incoming', 'defer'], directory, scope)
    try {
      await receive(qemu.qmp, join(snapshot, STATE), true, scope)
      return new QemuMachine(this, qemu, shape, directory, false)
    } catch (error) {
      await qemu[Symbol.asyncDispose]()
      throw withWords(error, qemu)
    }
  }

  /** A layer over the chain in a directory. */
  layer(directory: string, scope: Scope): Promise<string> {
    return addLayer(this.#tools, directory, scope)
  }

  /**
   * Makes the memory of a snapshot a file that clones can share, from a stream that holds all of it.
   * Prerequisite: the directory has the whole chain of disks, kernel and initial file system.
   */
  async settle(shape: MachineShape, stream: string, directory: string, scope: Scope): Promise<void> {
    const disks = chainOf(directory)
    const files = await this.#files(directory, join(directory, MEMORY), true, scope)
    try {
      const qemu = await this.#launch(shape, files, ['-S', '-incoming', 'defer'], directory, scope)
      try {
        await receive(qemu.qmp, stream, false, scope)
        await send(qemu.qmp, join(directory, STATE), true, scope)
        await qemu[Symbol.asyncDispose]()
      } catch (error) {
        const full = outOfRoom(directory)
        await qemu[Symbol.asyncDispose]()
        throw full ?? error
      }
    } finally {
      rmSync(join(directory, diskName(disks)), { force: true })
    }
  }

  async #files(directory: string, memory: string, shared: boolean, scope: Scope): Promise<Files> {
    const disk = await this.layer(directory, scope)
    const at = (name: string) => join(directory, name)
    return { kernel: at(KERNEL), initrd: at(INITRD), disk, memory, shared }
  }

  #launch(
    shape: MachineShape,
    files: Files,
    more: readonly string[],
    directory: string,
    scope: Scope,
  ): Promise<QemuProcess> {
    const argv = [...this.#tools.command('usr/bin/qemu-system-x86_64'), ...this.#words(shape, files), ...more]
    const bounded = withTimeout(scope, START_TIMEOUT)
    return QemuProcess.start(argv, shape.network, directory, bounded).catch((error: unknown) => {
      throw outOfRoom(directory) ?? error
    })
  }

  #words(shape: MachineShape, files: Files): string[] {
    const { firmware } = this.#tools
    return machineWords({ type: this.#type, accelerator: this.#accelerator, shape, firmware }, files)
  }
}

class QemuMachine implements Machine {
  readonly #monitor: QemuMonitor
  readonly #qemu: QemuProcess
  readonly #shape: MachineShape
  readonly #directory: string
  /** Whether its memory is a file of its own; else it has what it wrote apart from the snapshot's. */
  readonly #own: boolean

  constructor(monitor: QemuMonitor, qemu: QemuProcess, shape: MachineShape, directory: string, own: boolean) {
    this.#monitor = monitor
    this.#qemu = qemu
    this.#shape = shape
    this.#directory = directory
    this.#own = own
  }

  get pid(): number {
    return this.#qemu.pid
  }

  get exited(): Promise<Exit> {
    return this.#qemu.exited
  }

  get channel() {
    return this.#qemu.channel
  }

  said(): string {
    return this.#qemu.said()
  }

  async pause(scope: Scope): Promise<void> {
    await this.#qemu.qmp.execute('stop', {}, scope)
  }

  async resume(scope: Scope): Promise<void> {
    await this.#qemu.qmp.execute('cont', {}, scope)
  }

  async save(directory: string, how: { stop: boolean }, scope: Scope): Promise<void> {
    const bounded = withTimeout(scope, MIGRATION_TIMEOUT)
    const frozen = chainOf(this.#directory)
    if (!how.stop) await this.#newLayer(bounded)
    await linkChain(this.#directory, directory, bounded, frozen)
    for (const name of [KERNEL, INITRD])
      await linkFile(join(this.#directory, name), join(directory, name), bounded)
    if (!this.#own) {
      const stream = join(directory, 'stream')
      await send(this.#qemu.qmp, stream, false, bounded)
      if (how.stop) await this[Symbol.asyncDispose]()
      await this.#monitor.settle(this.#shape, stream, directory, bounded)
      rmSync(stream, { force: true })
      return
    }
    await send(this.#qemu.qmp, join(directory, STATE), true, bounded)
    const memory = join(this.#directory, MEMORY)
    if (!how.stop) return await copySparse(memory, join(directory, MEMORY), bounded)
    // Before it ends: its directory goes with it.
    await move(memory, join(directory, MEMORY), bounded)
    await this[Symbol.asyncDispose]()
  }

  /** What is written from now on lies in a layer of its own. */
  async #newLayer(scope: Scope): Promise<void> {
    const file = await this.#monitor.layer(this.#directory, scope)
    try {
      const to = { device: 'd0', 'snapshot-file': file, format: 'qcow2', mode: 'existing' }
      await this.#qemu.qmp.execute('blockdev-snapshot-sync', to, scope)
    } catch (error) {
      rmSync(file, { force: true })
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#qemu[Symbol.asyncDispose]()
  }
}

async function send(qmp: Qmp, file: string, withoutMemory: boolean, scope: Scope): Promise<void> {
  rmSync(file, { force: true })
  await setCapability(qmp, withoutMemory, scope)
  await qmp.execute('migrate', { uri: `file:${file}` }, scope)
  await complete(qmp, file, scope)
}

async function receive(qmp: Qmp, file: string, withoutMemory: boolean, scope: Scope): Promise<void> {
  if (!existsSync(file)) throw new ThawError('IMAGE_BROKEN', `${file} is missing.`)
  const bounded = withTimeout(scope, MIGRATION_TIMEOUT)
  await setCapability(qmp, withoutMemory, bounded)
  await qmp.execute('migrate-incoming', { uri: `file:${file}` }, bounded)
  await complete(qmp, file, bounded)
}

async function setCapability(qmp: Qmp, state: boolean, scope: Scope): Promise<void> {
  const capabilities = [{ capability: 'x-ignore-shared', state }]
  await qmp.execute('migrate-set-capabilities', { capabilities }, scope)
}

async function complete(qmp: Qmp, file: string, scope: Scope): Promise<void> {
  for (;;) {
    const found = await qmp.execute('query-migrate', {}, scope)
    if (found.status === 'completed') return
    if (found.status === 'failed' || found.status === 'cancelled') {
      const why = found['error-desc'] ?? 'no reason given'
      throw outOfRoom(dirname(file)) ?? new ThawError('ENGINE_FAILED', `QEMU could not move ${file}: ${why}.`)
    }
    checkScope(scope, 'waiting for QEMU')
    await new Promise((resolve) => setTimeout(resolve, MIGRATION_LOOK))
  }
}

async function move(from: string, to: string, scope: Scope): Promise<void> {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await copySparse(from, to, scope)
  }
}

function withWords(error: unknown, qemu: QemuProcess): ThawError {
  const known = ThawError.from(error)
  const said = qemu.said()
  if (known.code !== 'ENGINE_FAILED' || said === '') return known
  return new ThawError('ENGINE_FAILED', `${known.message} It said: ${said.slice(-500)}`, { cause: error })
}
