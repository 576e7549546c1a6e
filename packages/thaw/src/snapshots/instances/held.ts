/** Somebody's program to be: restored up to its last step, its ports taken, with a name and a log still to come. */
import { readFileSync } from 'node:fs'
import type { OutputListener } from '../../engines/engine.js'
import type { ProcessBranch } from '../../engines/process/branch.js'
import type { ProcessGroup } from '../../engines/process/group.js'
import type { ProcessImage } from '../../engines/process/image.js'
import { takePorts, type Publication } from '../../engines/process/publication.js'
import { treeOf } from '../../engines/process/inspect.js'
import type { ProcessEngine } from '../../engines/process/process.js'
import type { HeldBranch } from '../../engines/process/specs.js'
import { Cgroup, ThawError, type Scope } from '../../system/index.js'
import { admit, LOOPBACK, type Living } from './living.js'

export class Held implements AsyncDisposable {
  /** Of the instance that it becomes. */
  readonly id: string
  readonly #held: HeldBranch
  readonly #output: Output
  readonly #cgroup: Cgroup
  /** Of the machine, taken for it; null: it has none, or the instance has them now. */
  #ports: Publication | null
  #releasedAt: number | null = null

  private constructor(
    id: string,
    held: HeldBranch,
    output: Output,
    cgroup: Cgroup,
    ports: Publication | null,
  ) {
    this.id = id
    this.#held = held
    this.#output = output
    this.#cgroup = cgroup
    this.#ports = ports
  }

  /** @param ports of its own, that are to be published at any that are free on the machine */
  static async restore(
    bench: { engine: ProcessEngine; group: ProcessGroup; rootless: boolean },
    id: string,
    image: ProcessImage,
    ports: readonly number[],
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
      try {
        const pairs = ports.map((inner) => ({ port: 0, inner }))
        const taken =
          pairs.length === 0 ? null : await takePorts(held.initPid, LOOPBACK, pairs, bench.rootless, scope)
        return new Held(id, held, output, cgroup, taken)
      } catch (error) {
        await held[Symbol.asyncDispose]()
        throw error
      }
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
  async release(living: Living): Promise<ProcessBranch> {
    try {
      if (!this.alive) throw new ThawError('ENGINE_FAILED', 'A member of a pool has ended.')
      this.#output.direct(living.listener)
      living.takeOver(this.#ports)
      this.#ports = null
      const { name } = living.document
      const branch = await this.#held.release(name === nameOf(this.id) ? null : name)
      this.#releasedAt = performance.now()
      return branch
    } catch (error) {
      await this[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ports?.[Symbol.asyncDispose]()
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
