/** Machines that have booted and done nothing yet, copied: a run in a machine begins with one of these, not with a boot. */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { agentsDirectory, Disposables, removeTree, within, type Scope } from '../../system/index.js'
import { MANIFEST } from '../sealed.js'
import { GuestRefused, type Guest } from './guest/guest.js'
import { VmImage } from './image.js'
import { MachineProject } from './project.js'
import { addReboot, SCRIPT } from './reboot.js'
import { shapeOf, type MachineShape } from './monitor.js'
import type { VmToolsProvider } from './tools.js'
import type { VmEngine, VmGroup } from './vm.js'

/** Of machines that programs of runs get, where they do not ask for another. */
const MEMORY = 1024 ** 3
const DRAFT = 'new-'
/** Milliseconds. */
const HOUR = 3_600_000
const KEPT = 30 * 24 * HOUR
/** Raised when the same parts give another machine. */
const RECIPE = 1

export interface MachineSize {
  /** Bytes. */
  memory: number | null
  cpus: number | null
}

export class MachineBases {
  readonly #engine: VmEngine
  readonly #provider: VmToolsProvider
  readonly #made = new Map<string, Promise<VmImage>>()
  readonly #say: (what: string) => void

  constructor(engine: VmEngine, provider: VmToolsProvider, say: (what: string) => void) {
    this.#engine = engine
    this.#provider = provider
    this.#say = say
  }

  /**
   * A machine with a root file system, thaw's agents in it. Made once, and kept in thaw's cache by what it is made of.
   *
   * @param size null: what is usual
   * @throws ThawError ENGINE_MISSING, SETUP_FAILED, ENGINE_FAILED, DISK_FULL; nothing half is left behind
   */
  async get(root: { directory: string; key: string }, size: MachineSize, scope: Scope): Promise<VmImage> {
    const shape = shapeOf(size.memory ?? MEMORY, size.cpus ?? 1)
    const key = await this.#key(root, shape, scope)
    const known = await this.#made.get(key)?.catch(() => null)
    if (known?.alive === true) return known
    const making = this.#find(key) ?? this.#make(key, root.directory, shape, scope)
    this.#made.set(key, Promise.resolve(making))
    return await making
  }

  get #directory(): string {
    return join(this.#provider.directory, 'bases')
  }

  #find(key: string): VmImage | null {
    const path = join(this.#directory, key)
    if (!existsSync(join(path, MANIFEST))) return null
    const now = new Date()
    utimesSync(path, now, now)
    return VmImage.open(path)
  }

  /** What was not used for long, and what a kill has left of making one. Live machines do not need it. */
  #sweep(): void {
    for (const name of readdirSync(this.#directory)) {
      const path = join(this.#directory, name)
      const unused = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
      if (unused > (name.startsWith(DRAFT) ? HOUR : KEPT)) removeTree(path)
    }
  }

  async #make(key: string, root: string, shape: MachineShape, scope: Scope): Promise<VmImage> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    this.#sweep()
    await using cleanup = new Disposables()
    const work = mkdtempSync(join(this.#directory, DRAFT))
    cleanup.add(() => rmSync(work, { recursive: true, force: true, maxRetries: 5 }))
    this.#say('booting a machine for runs (once; later ones are copies of it)')
    const disk = join(work, 'disk')
    await this.#engine.makeDisk(root, disk, scope)
    const group: VmGroup = {
      images: work,
      work,
      newImage: () => ({ draft: 'draft', final: 'image' }),
      keep: () => {},
    }
    const branch = await this.#engine.launch(group, { disk, shape, hostname: 'thaw' }, scope)
    cleanup.use(branch)
    const { guest } = branch
    await new MachineProject(agents()).carryIn(guest, () => false, scope)
    await compile(guest, scope)
    await addReboot(guest, scope)
    const image = await this.#engine.checkpoint(group, branch, { stop: true }, scope)
    const path = join(this.#directory, key)
    try {
      renameSync(image.directory, path)
    } catch (error) {
      // Another daemon was faster.
      if (!existsSync(join(path, MANIFEST))) throw error
    }
    return VmImage.open(path)
  }

  async #key(
    { directory, key }: { directory: string; key: string },
    shape: MachineShape,
    scope: Scope,
  ): Promise<string> {
    const tools = await this.#provider.get(this.#say, scope)
    const { release, initrd } = await tools.kernel()
    const monitor = await (await this.#engine.monitor(scope)).identity(scope)
    const parts = [
      RECIPE,
      directory,
      key,
      shape,
      release,
      initrd,
      monitor,
      SCRIPT,
      agents(),
      digestOf(agents()),
    ]
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
  }
}

/** Python, where there is one, need not do so in each copy. */
async function compile(guest: Guest, scope: Scope): Promise<void> {
  const argv = ['python3', '-m', 'compileall', '-q', agents()]
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin' }
  const spec = { argv, env, cwd: '/', user: null, terminal: null, joined: true }
  try {
    const program = await guest.start(spec, { output: () => true }, scope)
    program.endStdin()
    await within(scope, 'compiling the agents', program.exited)
  } catch (error) {
    if (!(error instanceof GuestRefused)) throw error
  }
}

const agents = () => join(agentsDirectory(), 'python')

function digestOf(directory: string): string {
  const hash = createHash('sha256')
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  for (const name of names.filter((one) => one.endsWith('.py')).sort()) {
    hash.update(`${name}\0`).update(readFileSync(join(directory, name)))
  }
  return hash.digest('hex')
}
