/** The processes of a service, as a whole: in a sandbox, where they can be frozen, or plain. */
import { readFileSync } from 'node:fs'
import type { OutputListener, StreamsSpec } from '../engines/engine.js'
import type { ProcessBranch } from '../engines/process/branch.js'
import { needsUserNamespace } from '../engines/process/criu/provide.js'
import { Entered } from '../engines/process/entered.js'
import type { ProcessGroup } from '../engines/process/group.js'
import type { ProcessImage } from '../engines/process/image.js'
import { treeOf } from '../engines/process/inspect.js'
import { isListening } from '../engines/process/listening.js'
import type { ProcessEngine } from '../engines/process/process.js'
import { publish } from '../engines/process/publication.js'
import type { Network } from '../engines/process/sandbox.js'
import { hasListener } from '../engines/process/sockets.js'
import type { Beside } from '../snapshots/instances/body.js'
import {
  nativeProgram,
  openScope,
  ownAllowance,
  startProcess,
  ThawError,
  type Scope,
} from '../system/index.js'
import { PlainBeside, type BesideSpec } from './beside.js'

/** The machine's address at which ports of sandboxes are reached. */
const LOOPBACK = '127.0.0.1'

export interface Site {
  engine: ProcessEngine
  group: ProcessGroup
}

export interface TreeSpec {
  id: string
  argv: string[]
  env: Record<string, string>
  cwd: string
  listener: OutputListener
  /** `stream`: one that ends with the daemon, which is how its processes learn of that. Default. */
  stdin?: 'stream' | 'null'
  /** Where it is in a sandbox. Default: `host`. */
  network?: Network
}

/** A port of a program, as it is reached from here. */
export interface Door extends AsyncDisposable {
  /** Of this machine. */
  readonly port: number
  /** Whether the program listens. */
  isOpen(): boolean
}

export interface Tree extends AsyncDisposable {
  readonly engine: 'process' | 'plain'
  /** As seen from here; the root first. */
  pids(): number[]
  readonly exited: Promise<unknown>
  /** On failure it goes on. @throws ThawError UNSUPPORTED, and what the engine throws */
  freeze(scope: Scope): Promise<ProcessImage>
  /** A copy of now; it goes on. @throws ThawError as `freeze` */
  copy(scope: Scope): Promise<ProcessImage>
  open(port: number, scope: Scope): Promise<Door>
  /**
   * Another program beside them. It ends with them.
   *
   * @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, ENGINE_FAILED
   */
  start(spec: BesideSpec, scope: Scope): Promise<Beside>
}

const streamsOf = ({ stdin = 'stream' }: Pick<TreeSpec, 'stdin'>): StreamsSpec => ({
  stdin,
  joined: false,
  terminal: null,
})

export async function startTree(
  site: Site,
  engine: 'process' | 'plain',
  spec: TreeSpec,
  scope: Scope,
): Promise<Tree> {
  if (engine === 'plain') return await startPlain(spec, scope)
  const { id, stdin: _, ...rest } = spec
  const branch = await site.engine.launch(
    site.group,
    {
      ...rest,
      branch: id,
      umask: 0o022,
      allowance: ownAllowance(),
      streams: streamsOf(spec),
      ownTemporary: false,
      // What it writes is the user's own, as of any program.
      accounted: true,
    },
    scope,
  )
  return sandboxed(site, branch)
}

export async function thawTree(
  site: Site,
  image: ProcessImage,
  { id, listener, ...rest }: Pick<TreeSpec, 'id' | 'listener' | 'stdin'>,
  scope: Scope,
): Promise<Tree> {
  const streams = streamsOf(rest)
  const spec = { branch: id, streams, listener, view: 'shared', accounted: true } as const
  return sandboxed(site, await site.engine.restore(site.group, image, spec, scope))
}

/** Programs that end with the tree. */
class Companions implements AsyncDisposable {
  readonly #all = new Set<Beside>()

  hold<T extends Beside>(one: T): T {
    this.#all.add(one)
    void one.exited.then(() => this.#all.delete(one))
    return one
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((one) => one[Symbol.asyncDispose]()))
  }
}

function sandboxed({ engine, group }: Site, branch: ProcessBranch): Tree {
  const beside = new Companions()
  return {
    engine: 'process',
    pids: () => (branch.over ? [] : treeOf(branch.root)),
    exited: branch.exited,
    freeze: (scope) => engine.checkpoint(group, branch, scope, { stop: true }),
    copy: (scope) => engine.checkpoint(group, branch, scope),
    open: async (port, scope) => {
      if (branch.parts.network === 'host') return doorOf(branch.root, port)
      const made = await publish(branch, LOOPBACK, [{ port: 0, inner: port }], needsUserNamespace(), scope)
      return {
        port: made.ports[0]?.port ?? 0,
        isOpen: () => hasListener(branch.root, port),
        [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
      }
    },
    start: async (spec, scope) =>
      beside.hold(await Entered.start(branch, { ...spec, user: null }, needsUserNamespace(), scope)),
    [Symbol.asyncDispose]: async () => {
      await beside[Symbol.asyncDispose]()
      branch.end()
      await branch[Symbol.asyncDispose]()
    },
  }
}

async function startPlain(spec: TreeSpec, scope: Scope): Promise<Tree> {
  const { argv, env, cwd, listener, stdin = 'stream' } = spec
  // What does not look at its stdin has to be ended with the daemon, whatever ends that.
  const own = stdin === 'stream' ? argv : [nativeProgram('sandbox'), 'tied', String(process.pid), ...argv]
  const stdio = [stdin === 'stream' ? 'pipe' : 'ignore', 'pipe', 'pipe'] as const
  // What ends it is its owner, not the one who asked for it.
  const child = await startProcess(own, { cwd, env, grace: 200, stdio: [...stdio] }, openScope(scope.log))
  child.stdin?.on('error', () => {})
  child.stdout?.on('data', (bytes: Buffer) => listener.output('stdout', bytes))
  child.stderr?.on('data', (bytes: Buffer) => listener.output('stderr', bytes))
  const beside = new Companions()
  let over = false
  void child.exited.then(() => (over = true))
  return {
    engine: 'plain',
    pids: () => (over ? [] : treeOf(child.pid)),
    exited: child.exited,
    freeze: plainly,
    copy: plainly,
    open: (port) => Promise.resolve(doorOf(child.pid, port)),
    start: async (spec, scope) => beside.hold(await PlainBeside.start(spec, scope)),
    [Symbol.asyncDispose]: async () => {
      await beside[Symbol.asyncDispose]()
      child.signal('SIGKILL')
      await child.exited
    },
  }
}

function plainly(): Promise<never> {
  return Promise.reject(
    new ThawError('UNSUPPORTED', 'It runs as a plain process, which cannot be frozen.', {
      hint: '`thaw doctor` says what checkpoints of any program need; ttl_action `stop` needs nothing.',
    }),
  )
}

/** A port of the machine's own network. */
function doorOf(root: number, port: number): Door {
  return { port, isOpen: () => isListening(root, port), [Symbol.asyncDispose]: async () => {} }
}

/** Proportional set size in bytes. */
export function memoryOf(pids: readonly number[]): number {
  let kilobytes = 0
  for (const pid of pids) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
      kilobytes += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0)
    } catch {
      // It has ended.
    }
  }
  return kilobytes * 1024
}
