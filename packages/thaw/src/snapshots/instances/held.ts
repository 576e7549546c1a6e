/** Somebody's program to be: restored up to its last step, its ports taken, with a name and a log still to come. */
import { readFileSync } from 'node:fs'
import type { OutputListener } from '../../engines/engine.js'
import { ProcessImage } from '../../engines/process/image.js'
import type { VmImage } from '../../engines/vm/image.js'
import { takePorts, type Publication } from '../../engines/process/publication.js'
import { treeOf } from '../../engines/process/inspect.js'
import { Cgroup, ThawError, type Scope } from '../../system/index.js'
import { SandboxBody, type Body, type Copy } from './body.js'
import type { Bench } from './boot.js'
import { admit, LOOPBACK, ownOf, type Living } from './living.js'
import { MachineBody } from './machine-body.js'

/** What stands there: a sandbox, or a machine. */
interface Standing extends AsyncDisposable {
  /** As long as this process lives, it does. */
  readonly pid: number
  /** It goes on as `living`, whose name was not known before. On failure nothing of it is left. */
  release(living: Living, scope: Scope): Promise<Body>
}

export class Held implements AsyncDisposable {
  /** Of the instance that it becomes. */
  readonly id: string
  readonly #standing: Standing
  readonly #output: Output
  readonly #cgroup: Cgroup
  #releasedAt: number | null = null

  private constructor(id: string, standing: Standing, output: Output, cgroup: Cgroup) {
    this.id = id
    this.#standing = standing
    this.#output = output
    this.#cgroup = cgroup
  }

  /** @param ports of its own, that are to be published at any that are free on the machine */
  static async restore(
    bench: Bench,
    id: string,
    image: Copy,
    ports: readonly number[],
    scope: Scope,
  ): Promise<Held> {
    // Its cgroup is the instance's: moving processes into another one later takes longer than all the rest of a take.
    const cgroup = new Cgroup(id, {})
    const output = new Output()
    try {
      const standing =
        image instanceof ProcessImage
          ? await standInSandbox(bench, id, image, ports, output, cgroup, scope)
          : await standInMachine(bench, image, output, cgroup, scope)
      return new Held(id, standing, output, cgroup)
    } catch (error) {
      cgroup[Symbol.dispose]()
      throw error
    }
  }

  /** Whether it still stands there. */
  get alive(): boolean {
    try {
      const stat = readFileSync(`/proc/${this.#standing.pid}/stat`, 'latin1')
      return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
    } catch {
      return false
    }
  }

  /** Milliseconds of `performance.now()`; null: it stands there. */
  get releasedAt(): number | null {
    return this.#releasedAt
  }

  /** Bytes: its share of the memory of all its processes. */
  get memory(): number {
    return treeOf(this.#standing.pid).reduce((sum, pid) => sum + shareOf(pid), 0)
  }

  /** It goes on, as the instance of its id. On failure nothing of it is left. @throws ThawError when it is gone */
  async release(living: Living, scope: Scope): Promise<Body> {
    try {
      if (!this.alive) throw new ThawError('ENGINE_FAILED', 'A member of a pool has ended.')
      this.#output.direct(living.listener)
      const body = await this.#standing.release(living, scope)
      this.#releasedAt = performance.now()
      return body
    } catch (error) {
      await this[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#standing[Symbol.asyncDispose]()
    if (this.#releasedAt === null) this.#cgroup[Symbol.dispose]()
  }
}

async function standInSandbox(
  bench: Bench,
  id: string,
  image: ProcessImage,
  ports: readonly number[],
  listener: OutputListener,
  cgroup: Cgroup,
  scope: Scope,
): Promise<Standing> {
  const streams = { stdin: 'null', joined: false, terminal: null } as const
  const enter = (pid: number) => admit(cgroup, pid)
  const spec = { branch: id, streams, listener, hostname: nameOf(id), admit: enter }
  const held = await bench.engine.hold(bench.group, image, spec, scope)
  const pairs = ports.map((inner) => ({ port: 0, inner }))
  let taken: Publication | null = null
  try {
    if (pairs.length > 0) taken = await takePorts(held.initPid, LOOPBACK, pairs, bench.rootless, scope)
  } catch (error) {
    await held[Symbol.asyncDispose]()
    throw error
  }
  return {
    pid: held.initPid,
    release: async (living) => {
      living.takeOver(taken)
      taken = null
      const { name } = living.document
      const branch = await held.release(name === nameOf(id) ? null : name)
      return new SandboxBody(branch, ownOf(living.image), bench.rootless)
    },
    [Symbol.asyncDispose]: async () => {
      await taken?.[Symbol.asyncDispose]()
      await held[Symbol.asyncDispose]()
    },
  }
}

async function standInMachine(
  bench: Bench,
  image: VmImage,
  listener: OutputListener,
  cgroup: Cgroup,
  scope: Scope,
): Promise<Standing> {
  const enter = (pid: number) => admit(cgroup, pid)
  const held = await bench.machines.hold(bench.group, image, { listener, admit: enter }, scope)
  return {
    pid: held.pid,
    release: async (living, until) => MachineBody.of(await held.release(living.document.name, until)),
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  }
}

/** What an instance is called that nobody gave a name. */
export function nameOf(id: string): string {
  return id.replace('_', '-')
}

/** Nothing is printed before there is somebody to print for. */
class Output implements OutputListener {
  #listener: OutputListener | null = null

  output(stream: 'stdout' | 'stderr', bytes: Buffer): boolean {
    return this.#listener?.output(stream, bytes) ?? true
  }

  direct(listener: OutputListener): void {
    this.#listener = listener
  }
}

function shareOf(pid: number): number {
  try {
    const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]
    return Number(kilobytes ?? 0) * 1024
  } catch {
    return 0
  }
}
