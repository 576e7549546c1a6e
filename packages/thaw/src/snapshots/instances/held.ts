/** Somebody's program to be: restored up to its last step, with a name and a log still to come. */
import { readFileSync } from 'node:fs'
import type { OutputListener } from '../../engines/engine.js'
import type { ProcessBranch } from '../../engines/process/branch.js'
import type { ProcessGroup } from '../../engines/process/group.js'
import { renameHost } from '../../engines/process/host-name.js'
import type { ProcessImage } from '../../engines/process/image.js'
import { heldPid } from '../../engines/process/sandbox.js'
import { treeOf } from '../../engines/process/inspect.js'
import type { ProcessEngine } from '../../engines/process/process.js'
import type { HeldBranch } from '../../engines/process/specs.js'
import { Cgroup, ThawError, type Scope } from '../../system/index.js'
import { admit, type Living } from './living.js'

export class Held implements AsyncDisposable {
  /** Of the instance that it becomes. */
  readonly id: string
  /** Its pid inside. */
  readonly #root: number
  readonly #held: HeldBranch
  readonly #output: Output
  readonly #cgroup: Cgroup
  readonly #rootless: boolean
  #releasedAt: number | null = null

  private constructor(
    id: string,
    root: number,
    held: HeldBranch,
    output: Output,
    cgroup: Cgroup,
    rootless: boolean,
  ) {
    this.id = id
    this.#root = root
    this.#held = held
    this.#output = output
    this.#cgroup = cgroup
    this.#rootless = rootless
  }

  static async restore(
    bench: { engine: ProcessEngine; group: ProcessGroup; rootless: boolean },
    id: string,
    image: ProcessImage,
    scope: Scope,
  ): Promise<Held> {
    // Its cgroup is the instance's: moving processes into another one later takes longer than all the rest of a take.
    const cgroup = new Cgroup(id, {})
    const output = new Output()
    const streams = { stdin: 'null', joined: false, terminal: null } as const
    const enter = (pid: number) => admit(cgroup, pid)
    const spec = { branch: id, streams, listener: output, hostname: nameOf(id), admit: enter }
    try {
      const held = await bench.engine.hold(bench.group, image, spec, scope)
      return new Held(id, image.manifest.pids.root, held, output, cgroup, bench.rootless)
    } catch (error) {
      cgroup[Symbol.dispose]()
      throw error
    }
  }

  /** Whether it still stands there. */
  get alive(): boolean {
    try {
      const stat = readFileSync(`/proc/${this.#held.initPid}/stat`, 'latin1')
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
    return treeOf(this.#held.initPid).reduce((sum, pid) => sum + shareOf(pid), 0)
  }

  /** It goes on, as the instance of its id. On failure nothing of it is left. @throws ThawError when it is gone */
  async release(living: Living, scope: Scope): Promise<ProcessBranch> {
    try {
      const { initPid } = this.#held
      if (!this.alive) throw new ThawError('ENGINE_FAILED', 'A member of a pool has ended.')
      this.#output.direct(living.listener)
      const { name } = living.document
      if (name !== nameOf(this.id)) {
        await renameHost(heldPid(initPid, this.#root), this.#rootless, name, scope)
      }
      const branch = await this.#held.release()
      this.#releasedAt = performance.now()
      return branch
    } catch (error) {
      await this[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held[Symbol.asyncDispose]()
    if (this.#releasedAt === null) this.#cgroup[Symbol.dispose]()
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
