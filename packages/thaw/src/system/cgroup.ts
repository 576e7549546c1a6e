/** Limits, use and freezing of a group of processes, by cgroups of version 1 or 2 as far as they may be made here. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

export interface CgroupLimits {
  /** Bytes. */
  memory?: number | null
  /** Processors, also parts of one. */
  cpus?: number | null
  /** Processes and threads. */
  processes?: number | null
}

export interface CgroupUse {
  /** Bytes; null where it is not counted. */
  memory: number | null
  /** Seconds of processor time. */
  cpu: number | null
  processes: number | null
}

const PREFIX = 'thaw-'
/** Microseconds in which a share of the processors is given. */
const PERIOD = 100_000

type Controller = 'memory' | 'cpu' | 'cpuacct' | 'pids'

interface Hierarchies {
  /** Of version 1: this process's own cgroup, by controller. */
  old: Partial<Record<Controller, string>>
  /** Of version 2; null where there is none. */
  unified: string | null
}

let found: Hierarchies | undefined

/** Looked for once: it takes as long as all the rest of making a group. */
function hierarchies(): Hierarchies {
  return (found ??= find())
}

function find(): Hierarchies {
  const old: Hierarchies['old'] = {}
  let unified: string | null = null
  const mounts = read('/proc/self/mountinfo').split('\n')
  const place = (test: (type: string, options: string[]) => boolean) => {
    for (const line of mounts) {
      const [before = '', after = ''] = line.split(' - ')
      const [type = '', , options = ''] = after.split(' ')
      if (test(type, options.split(','))) return before.split(' ')[4] ?? null
    }
    return null
  }
  for (const line of read('/proc/self/cgroup').trim().split('\n')) {
    const [id, names = '', ...rest] = line.split(':')
    const path = rest.join(':')
    if (id === '0') {
      const at = place((type) => type === 'cgroup2')
      if (at !== null) unified = join(at, path)
      continue
    }
    for (const name of names.split(',')) {
      if (!['memory', 'cpu', 'cpuacct', 'pids'].includes(name)) continue
      const at = place((type, options) => type === 'cgroup' && options.includes(name))
      if (at !== null) old[name as Controller] = join(at, path)
    }
  }
  return { old, unified }
}

export class Cgroup implements Disposable {
  /** Directories, by what they are for; missing: may not be made here. */
  readonly #old: Partial<Record<Controller, string>> = {}
  readonly #unified: string | null
  /** Limits that cannot be kept here, each with the reason. */
  readonly missing: readonly string[]

  /** @param name of this machine's only one of that name */
  constructor(name: string, limits: CgroupLimits) {
    const { old, unified } = hierarchies()
    const directory = `${PREFIX}${name}`
    this.#unified = unified === null ? null : make(join(unified, directory))
    for (const [controller, parent] of Object.entries(old) as [Controller, string][]) {
      const made = make(join(parent, directory))
      if (made !== null) this.#old[controller] = made
    }
    this.missing = this.#limit(limits)
  }

  /** With everything that it starts from here on. */
  admit(pid: number): void {
    // The kernel takes 0 for the writer.
    if (pid === 0) throw new Error('there is no process 0')
    for (const directory of this.#all) writeFileSync(join(directory, 'cgroup.procs'), String(pid))
  }

  /** Whether processes in it can be frozen without a signal. */
  get freezes(): boolean {
    return this.#unified !== null && existsSync(join(this.#unified, 'cgroup.freeze'))
  }

  get use(): CgroupUse {
    const { memory, cpuacct, pids } = this.#old
    const unified = this.#unified ?? '/nowhere'
    const number = (file: string) => (existsSync(file) ? Number(read(file)) : null)
    const usage = /^usage_usec (\d+)/m.exec(read(join(unified, 'cpu.stat')))?.[1]
    const old = cpuacct === undefined ? null : number(join(cpuacct, 'cpuacct.usage'))
    return {
      memory: number(
        join(memory ?? unified, memory === undefined ? 'memory.current' : 'memory.usage_in_bytes'),
      ),
      cpu: old !== null ? old / 1e9 : usage === undefined ? null : Number(usage) / 1e6,
      processes: number(join(pids ?? unified, 'pids.current')),
    }
  }

  /** Freezes some of its processes, and what they start; the others go on. Prerequisite: `freezes`. */
  freeze(list: () => readonly number[]): void {
    const frozen = make(join(this.#unified ?? '', 'frozen'))
    if (frozen === null) throw new Error('the cgroup is gone')
    const moved = new Set<number>()
    // Until there is none that a moved one had started before.
    for (let more = true; more;) {
      more = false
      for (const pid of list()) {
        if (moved.has(pid)) continue
        moved.add(pid)
        more = true
        try {
          writeFileSync(join(frozen, 'cgroup.procs'), String(pid))
        } catch {
          // It has ended.
        }
      }
    }
    writeFileSync(join(frozen, 'cgroup.freeze'), '1')
  }

  /** What was frozen goes on. */
  thaw(): void {
    const frozen = join(this.#unified ?? '', 'frozen')
    if (this.#unified !== null && existsSync(frozen)) writeFileSync(join(frozen, 'cgroup.freeze'), '0')
  }

  /** Prerequisite: nothing runs in it. */
  [Symbol.dispose](): void {
    for (const directory of this.#all) remove(directory)
  }

  get #all(): string[] {
    return [...Object.values(this.#old), ...(this.#unified === null ? [] : [this.#unified])]
  }

  #limit({ memory = null, cpus = null, processes = null }: CgroupLimits): string[] {
    const missing: string[] = []
    const set = (
      what: string,
      controller: Controller,
      old: [string, string][],
      unified: [string, string],
    ) => {
      const directory = this.#old[controller]
      const files = directory === undefined ? [unified] : old
      const where = directory ?? this.#unified
      try {
        if (where === null) throw new Error('no cgroup may be made here')
        for (const [file, value] of files) writeFileSync(join(where, file), value)
      } catch (error) {
        missing.push(`${what} (${(error as Error).message.replace(/, (open|write).*/, '')})`)
      }
    }
    if (memory !== null) {
      set('memory', 'memory', [['memory.limit_in_bytes', String(memory)]], ['memory.max', String(memory)])
    }
    if (cpus !== null) {
      const quota = String(Math.round(cpus * PERIOD))
      const old: [string, string][] = [
        ['cpu.cfs_period_us', String(PERIOD)],
        ['cpu.cfs_quota_us', quota],
      ]
      set('cpus', 'cpu', old, ['cpu.max', `${quota} ${PERIOD}`])
    }
    if (processes !== null) {
      set('processes', 'pids', [['pids.max', String(processes)]], ['pids.max', String(processes)])
    }
    return missing
  }
}

/** Removes what a daemon that was killed left: cgroups of its names in which nothing runs. */
export function sweepCgroups(isOurs: (name: string) => boolean): void {
  const { old, unified } = hierarchies()
  for (const parent of new Set([...Object.values(old), ...(unified === null ? [] : [unified])])) {
    let names: string[]
    try {
      names = readdirSync(parent)
    } catch {
      continue
    }
    for (const name of names)
      if (name.startsWith(PREFIX) && isOurs(name.slice(PREFIX.length))) remove(join(parent, name))
  }
}

function make(directory: string): string | null {
  try {
    mkdirSync(directory)
    return directory
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EEXIST' ? directory : null
  }
}

function remove(directory: string): void {
  for (const path of [join(directory, 'frozen'), directory]) {
    try {
      rmdirSync(path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // Something runs in it still: the next sweep finds it again.
      if (code !== 'ENOENT' && code !== 'EBUSY' && basename(path) !== 'frozen') throw error
    }
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
