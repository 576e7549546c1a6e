/** What an instance lives in: a sandbox of the process engine, or a machine of its own. */
import { statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import type { Image } from '@thaw/protocol'
import type { OutputListener, StreamsSpec, TerminalSize } from '../../engines/engine.js'
import type { ProcessBranch } from '../../engines/process/branch.js'
import { Entered, type EnterSpec } from '../../engines/process/entered.js'
import { ProcessImage } from '../../engines/process/image.js'
import { treeOf } from '../../engines/process/inspect.js'
import { isListening } from '../../engines/process/listening.js'
import { publish, type PortPair, type Publication } from '../../engines/process/publication.js'
import { hasListener } from '../../engines/process/sockets.js'
import { VmImage } from '../../engines/vm/image.js'
import { checkScope, ThawError, type CgroupLimits, type Scope } from '../../system/index.js'
import type { Bench } from './boot.js'
import { ContainerBody } from './container-body.js'
import { readFileOf, readTextOf, writeFileOf, type Place } from './files.js'
import { MachineBody } from './machine-body.js'

/** What QEMU takes beside the memory of its machine, at most. Bytes. */
const MONITOR = 192 * 1024 ** 2

/** A copy of an instance on disk. */
export type Copy = ProcessImage | VmImage

/** Another program in an instance. */
export interface Beside extends AsyncDisposable {
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  writeStdin(bytes: Uint8Array): Promise<void>
  endStdin(): void
  resumeOutput(): void
  resize(size: TerminalSize): void
  /** To its process group. */
  signal(name: NodeJS.Signals): void
}

export interface BesideSpec {
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  user: { uid: number; gid: number } | null
  streams: StreamsSpec
  listener: OutputListener
  admit: (pid: number) => void
}

/** Disposing it ends everything of it. */
export interface Body extends AsyncDisposable {
  /** On this machine. */
  readonly pid: number
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  /** To its program. */
  signal(name: string): Promise<void>
  /** Its processes on this machine, without those that were started beside its program. */
  pids(): number[]
  /** Those of them that stand still when it is paused, parents first. */
  pausable(): number[]
  /** Resolves when its program itself runs: what cannot be started has then been told. */
  begun(scope: Scope): Promise<void>
  /** @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, ENGINE_FAILED */
  start(spec: BesideSpec, scope: Scope): Promise<Beside & { readonly pids: () => number[] }>
  /** @throws ThawError PORT_IN_USE */
  publish(address: string, ports: readonly PortPair[], scope: Scope): Promise<Publication>
  listens(port: number): Promise<boolean>
  /** @throws ThawError PATH_REFUSED */
  readFile(path: string): Promise<{ content: Readable; size: number; mode: number }>
  /** A short text; empty where there is none. */
  readText(path: string): Promise<string>
  /** @throws ThawError PATH_REFUSED, DISK_FULL */
  writeFile(path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void>
}

/** A program in a sandbox. */
export class SandboxBody implements Body {
  readonly branch: ProcessBranch
  readonly #place: Place
  readonly #rootless: boolean

  constructor(branch: ProcessBranch, own: Place['own'], rootless: boolean) {
    this.branch = branch
    this.#place = { pid: branch.parts.sandbox.initPid, own }
    this.#rootless = rootless
  }

  get pid(): number {
    return this.branch.pid
  }

  get exited() {
    return this.branch.exited
  }

  signal(name: string): Promise<void> {
    return this.branch.signal(name)
  }

  pids(): number[] {
    return treeOf(this.branch.root)
  }

  pausable(): number[] {
    // The one above the program only waits.
    return treeOf(this.branch.root).slice(1)
  }

  async begun(scope: Scope): Promise<void> {
    const program = (pid: number) => statSync(`/proc/${pid}/exe`, { throwIfNoEntry: false })?.ino
    const own = program(this.branch.parts.sandbox.initPid)
    while (program(this.branch.pid) === own) {
      checkScope(scope, 'starting a program')
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  async start(spec: BesideSpec, scope: Scope): Promise<Entered & { readonly pids: () => number[] }> {
    const entered = await Entered.start(this.branch, spec satisfies EnterSpec, this.#rootless, scope)
    return Object.assign(entered, { pids: () => treeOf(entered.pid).slice(1) })
  }

  publish(address: string, ports: readonly PortPair[], scope: Scope): Promise<Publication> {
    return publish(this.branch, address, ports, this.#rootless, scope)
  }

  listens(port: number): Promise<boolean> {
    const alone = this.branch.parts.network !== 'host'
    const found = alone ? hasListener(this.branch.root, port) : isListening(this.branch.root, port)
    return Promise.resolve(found)
  }

  readFile(path: string) {
    return Promise.resolve().then(() => readFileOf(this.#place, path))
  }

  readText(path: string): Promise<string> {
    return Promise.resolve(readTextOf({ ...this.#place, own: null }, path))
  }

  writeFile(path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
    return writeFileOf(this.#place, path, content, mode)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.branch[Symbol.asyncDispose]()
  }
}

/** @throws ThawError IMAGE_BROKEN, IMAGE_MISMATCH */
export function openCopy(engine: Image['engine'], directory: string): Copy {
  return engine === 'vm' ? VmImage.open(directory) : ProcessImage.open(directory)
}

/** Version of what made it, and of the kernel that its programs have. */
export function madeWith({ manifest }: Copy): { version: string; kernel: string } {
  if (manifest.engine === 'vm') return { version: manifest.monitor.version, kernel: manifest.release }
  const { criu: version, kernel } = manifest.machine
  return { version, kernel }
}

/**
 * Copies an instance as it is now.
 *
 * @param how.stop whether it ends once it is copied
 * @throws ThawError what the engine refuses; the instance runs on
 */
export async function checkpointOf(
  { engine, machines, group }: Pick<Bench, 'engine' | 'machines' | 'group'>,
  body: Body,
  scope: Scope,
  how: { tcp?: 'keep' | 'close' | null; stop?: boolean; cut?: () => void },
): Promise<Copy> {
  const { tcp = null, stop = false, cut = () => {} } = how
  if (body instanceof SandboxBody)
    return await engine.checkpoint(group, body.branch, scope, { tcp, stop, cut })
  if (body instanceof MachineBody) return await machines.checkpoint(group, body.branch, { stop, cut }, scope)
  if (body instanceof ContainerBody)
    throw new ThawError('UNSUPPORTED', 'A machine is not copied together with its container yet.')
  throw new ThawError('INTERNAL', 'There is no engine for this instance.')
}

/** What a cgroup keeps an instance to: of a machine, what its monitor needs besides. */
export function limitsOf(image: Image, { memory, cpu, pids }: Image['limits']): CgroupLimits {
  if (image.engine !== 'vm') return { memory, cpus: cpu, processes: pids }
  return { memory: memory === null ? null : memory + MONITOR, cpus: cpu, processes: null }
}
