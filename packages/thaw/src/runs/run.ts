/** One command in one directory: its history, its processes, its files. */
import { lstatSync, mkdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { contentAt, isAlready, keepContent, putBack, type Content } from '../files/undo.js'
import { diskState, onlyRewritten } from '../files/signature.js'
import { ProjectTree } from '../files/scan.js'
import { isParked } from '../engines/engine.js'
import { ProcessGroup } from '../engines/process/group.js'
import type { Log } from '../system/index.js'
import type { Group } from './group.js'
import type { Execution } from './execution.js'
import { LeftFiles } from './left.js'
import { chainOf, datedUntil, writtenUntil, type BranchRecord, type Checkpoint } from './lineage.js'

/** Bytes of written files kept when a branch ends. */
const LEFT_LIMIT = 64 * 1024 * 1024
/** Finished branches of which everything is remembered: of runs, and of resumes, whose output somebody may still read. */
const BRANCHES_KEPT = { run: 16, exact: 256, hot: 256 }
/** Written by C code as a matter of course, and not by a shell's redirection. */
const C_WRITTEN = /\.(db|sqlite3?|npy|npz|h5|hdf5|parquet|feather|arrow|pkl|bin|dat|mdb)$|-(journal|wal|shm)$/

/** Directory in a run's, with all that its machines have. */
export const MACHINES = 'machines'

export interface RunIdentity {
  id: string
  command: string[]
  cwd: string
  interpreter: string | null
  project: string
  createdAt: number
  /** Where records and kept files lie. */
  directory: string
}

export class Run {
  readonly identity: RunIdentity
  readonly tree: ProjectTree
  branches: BranchRecord[] = []
  readonly groups: Group[] = []
  readonly groupOf = new Map<BranchRecord, Group>()
  /** How each path that the program wrote looked when its last branch had ended. */
  readonly disk = new Map<string, string | null>()
  /** Branches that run now, those beside others left out. */
  readonly live = new Set<Execution>()
  /** The last branch's files are being looked at. */
  settling: Promise<void> = Promise.resolve()
  /** Commands that wait for their turn, or are in it. */
  starting = 0
  timesRun = 0
  lastAt = 0
  /** The branch whose files are in the project now. */
  onDisk: BranchRecord | null = null

  constructor(identity: RunIdentity) {
    this.identity = identity
    this.tree = new ProjectTree(identity.project)
    for (const name of ['store', 'left', 'temp']) {
      mkdirSync(join(identity.directory, name), { recursive: true, mode: 0o700 })
    }
  }

  /** Of its programs that run in sandboxes with an agent; and the level at which their code is compiled. */
  watchers: Group | null = null
  optimize = 0
  #sandboxes: ProcessGroup | null = null

  /** Where its programs live that are copied from outside, and their images. */
  sandboxes(log: Log): ProcessGroup {
    const { directory } = this.identity
    return (this.#sandboxes ??= ProcessGroup.open(join(directory, 'images'), join(directory, 'work'), log))
  }

  #machines: ProcessGroup | null = null

  /** Where its machines live, and copies of them. */
  machines(log: Log): ProcessGroup {
    const directory = join(this.identity.directory, MACHINES)
    return (this.#machines ??= ProcessGroup.open(join(directory, 'images'), join(directory, 'work'), log))
  }

  #left: LeftFiles | null = null

  /** How those programs left their files. */
  get leftFiles(): LeftFiles {
    return (this.#left ??= new LeftFiles(join(this.identity.directory, 'left', 'outside.json')))
  }

  get store(): string {
    return join(this.identity.directory, 'store')
  }

  branchDirectory(id: string): string {
    return join(this.identity.directory, id)
  }

  parked(): Checkpoint[] {
    return this.branches
      .flatMap((branch) => branch.checkpoints)
      .filter((checkpoint) => checkpoint.state === 'parked' && checkpoint.image.alive)
  }

  /** Those that end with the daemon. */
  inMemory(): Checkpoint[] {
    return this.parked().filter(({ image }) => isParked(image))
  }

  /**
   * Files that somebody wrote anew, in place, with what the last branch had left in them are as it left them: a plain
   * run of the command does so. What the program knows of their times is compared by itself.
   */
  recognizeFiles(): void {
    for (const [path, content] of this.onDisk?.left ?? []) {
      const [was, is] = [this.disk.get(path), diskState(path)]
      if (was === undefined || was === is || !onlyRewritten(was, is)) continue
      if (content !== 'unknown' && isAlready(path, content.pre)) this.disk.set(path, is)
    }
  }

  /** Why the files at this point cannot be put back; null when they can. */
  filesProblem = (branch: BranchRecord, seq: number): string | null => {
    for (const path of writtenUntil(branch, seq).keys()) {
      if (this.#contentAt(path, branch, seq) === 'unknown' && !this.#isInPlace(path, branch, seq)) {
        return `what ${path} held then was not kept`
      }
    }
    return null
  }

  /** What every path held at this point that was written before; `unknown` where that was not kept. */
  contentsAt(branch: BranchRecord, seq: number): Map<string, Content> {
    const written = writtenUntil(branch, seq)
    return new Map([...written.keys()].map((path) => [path, this.#contentAt(path, branch, seq)]))
  }

  /**
   * Prerequisite: `filesProblem` is null. Gives every path written before this point what it held then.
   *
   * @param sparing paths that look otherwise than the last branch left them are the user's, and stay
   */
  restoreFiles(branch: BranchRecord, seq: number, sparing = false): void {
    const contents = new Map<string, Exclude<Content, 'unknown'>>()
    for (const path of writtenUntil(branch, seq).keys()) {
      if (sparing && this.disk.has(path) && this.disk.get(path) !== diskState(path)) continue
      const content = this.#contentAt(path, branch, seq)
      if (content !== 'unknown') contents.set(path, content)
    }
    for (const path of putBack(contents)) this.disk.set(path, diskState(path))
    this.onDisk = branch
  }

  /**
   * Gives the files written before this point times as if they were written now, one after the other as they were: that
   * they are newer than what was edited in the meantime decides what make, or the program itself, does with them. A
   * file keeps its time where the program knows it, or has set it, or had not changed what is in it.
   *
   * @param began milliseconds since 1970, after the last edit and before anything that the program is about to write
   */
  renewTimes(branch: BranchRecord, seq: number, began: number): void {
    const start = chainOf(branch)[0]?.startedAt ?? Infinity
    const kept = datedUntil(branch, seq)
    const files = [...writtenUntil(branch, seq).keys()].flatMap((path) => {
      const stat = kept.has(path) ? undefined : lstatSync(path, { throwIfNoEntry: false })
      return stat?.isFile() === true && stat.mtimeMs >= start ? [{ path, stat }] : []
    })
    const times = [...new Set(files.map(({ stat }) => stat.mtimeMs))].sort((a, b) => a - b)
    const microseconds = new Map(times.map((time, i) => [time, i]))
    for (const { path, stat } of files) {
      try {
        utimesSync(path, stat.atimeMs / 1000, (began + (microseconds.get(stat.mtimeMs) ?? 0) / 1000) / 1000)
        this.disk.set(path, diskState(path))
      } catch {
        // Not this user's: its time stays.
      }
    }
  }

  /** After a branch's end: remembers how it left its files, and keeps a copy of them. */
  settle(branch: BranchRecord, startedAt: number, left: string): void {
    let kept = 0
    for (const path of writtenUntil(branch, Infinity).keys()) {
      branch.left.set(path, 'unknown')
      try {
        const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
        if (kept + size > LEFT_LIMIT) continue
        kept += size
        mkdirSync(left, { recursive: true, mode: 0o700 })
        branch.left.set(path, keepContent(path, join(left, String(branch.left.size))))
      } catch {
        // It stays unknown: places that need it are then not used.
      }
    }
    for (const { writes } of this.branches)
      for (const { path } of writes) this.disk.set(path, diskState(path))
    this.onDisk = branch
    const announced = writtenUntil(branch, Infinity)
    const silent = this.tree
      .changedSince(startedAt)
      .filter((path) => C_WRITTEN.test(path) && !announced.has(path))
    if (silent[0] !== undefined) {
      const seq = (branch.parent?.seq ?? 0) + 1
      branch.broken = { seq, why: `${silent[0]} was written by code that cannot be watched` }
    }
  }

  /** Forgets the oldest branches of which nothing can be used any more. */
  prune(): void {
    const needed = new Set<BranchRecord>()
    const younger = { run: 0, exact: 0, hot: 0 }
    for (const branch of [...this.branches].reverse()) {
      const useful =
        branch.end === null || branch.checkpoints.some((c) => c.state === 'parked' && c.image.alive)
      if (useful || younger[branch.kind]++ < BRANCHES_KEPT[branch.kind]) {
        for (let b: BranchRecord | undefined = branch; b !== undefined; b = b.parent?.branch) needed.add(b)
      }
    }
    for (const { id } of this.branches.filter((branch) => !needed.has(branch))) {
      rmSync(this.branchDirectory(id), { recursive: true, force: true })
      rmSync(join(this.identity.directory, 'left', id), { recursive: true, force: true })
    }
    this.branches = this.branches.filter((branch) => needed.has(branch))
    for (const branch of this.groupOf.keys()) if (!needed.has(branch)) this.groupOf.delete(branch)
  }

  async dropGroup(group: Group): Promise<void> {
    const at = this.groups.indexOf(group)
    if (at >= 0) this.groups.splice(at, 1)
    for (const branch of this.branches) {
      if (this.groupOf.get(branch) !== group) continue
      for (const checkpoint of branch.checkpoints)
        if (checkpoint.state === 'parked') checkpoint.state = 'dropped'
    }
    await group[Symbol.asyncDispose]()
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.groups].map((group) => this.dropGroup(group)))
    await this.#sandboxes?.[Symbol.asyncDispose]()
    this.#sandboxes = null
    await this.#machines?.[Symbol.asyncDispose]()
    this.#machines = null
    await this.watchers?.[Symbol.asyncDispose]()
    this.watchers = null
  }

  #contentAt(path: string, branch: BranchRecord, seq: number): Content {
    return contentAt(path, seq, branch.writes, branch.left.get(path) ?? 'unknown')
  }

  #isInPlace(path: string, branch: BranchRecord, seq: number): boolean {
    return this.onDisk === branch && !branch.writes.some((write) => write.path === path && write.seq > seq)
  }
}
