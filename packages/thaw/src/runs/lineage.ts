/** What is known about one run: its branches as a tree over checkpoints. */
import type { Allowance, CheckpointKind, RootFiles, RunRequest } from '@thaw/protocol'
import type {
  AgentEvent,
  CheckpointMessage,
  FailureMessage,
  FilePatch,
  Frame,
  StartFiles,
} from '@thaw/protocol/agent'
import type { AnyImage, StreamsSpec } from '../engines/engine.js'
import type { Network } from '../engines/process/sandbox.js'
import type { Content, Write } from '../files/undo.js'

/** Bytes printed, and entries of their order, at a point of a branch. */
export interface Offsets {
  stdout: number
  stderr: number
  order: number
}

export interface Checkpoint {
  id: string
  branch: BranchRecord
  seq: number
  kind: CheckpointKind
  /** Functions of the program's ran for it that a run from the start would not call. */
  hooked: boolean
  /** What the program or a user calls it. */
  name: string | null
  before: CheckpointMessage['before']
  stack: Frame[]
  /** Seconds of the program's own time before this point. */
  work: number
  /** Bytes of stdin that had been taken. */
  stdin: number
  offsets: Offsets
  image: AnyImage
  state: 'parked' | 'dropped' | 'lost'
  memory: number | null
  createdAt: number
}

/** Of a checkpoint that was taken from outside: where in its code the program stood is not known. */
export const nowhere = (): Pick<Checkpoint, 'stack' | 'hooked' | 'before'> => ({
  stack: [],
  hooked: false,
  before: { file: '', unit: '<module>', line: 0 },
})

/** What holds for everything that descends from one base process. */
export interface Root {
  env: Record<string, string>
  /** What its terminal (-t) stands in for: all three streams, or stdout and stderr where stdin is nothing. */
  terminal: 'whole' | 'output' | null
  joined: boolean
  umask: number
  allowance: Allowance
  network: RunRequest['net']
  /** Its root file system; null: the machine's. */
  files: RootFiles | null
  /** What its interpreter read before the agent began; null: that is among its events, or there is none yet. */
  start: StartFiles | null
}

export interface BranchEnd {
  /** Whether the agent had sent everything before the process ended. */
  complete: boolean
  code: number | null
  signal: string | null
  work: number
  stdin: number
  /** Whether the program may have seen that stdin ended. */
  stdinEnded: boolean
  offsets: Offsets
  /** Seconds from start to end of this branch. */
  seconds: number
}

export interface Refusal {
  /** That of the last checkpoint before; 0 where there was none. */
  work: number
  why: string
  /** The last event before. */
  seq: number
  /** In a sandbox, from outside, it might have been possible. */
  sandbox: boolean
}

export interface BranchRecord {
  id: string
  /** Milliseconds since 1970. */
  startedAt: number
  root: Root
  /** The environment it was started with. */
  env: Record<string, string>
  /** How it was connected to its caller. */
  streams: StreamsSpec
  /** Null: from the base, cold. */
  parent: Checkpoint | null
  /** What a `thaw run` did; or a `thaw resume`, which no later run is answered from. After a hot one nothing is exact. */
  kind: 'run' | 'exact' | 'hot'
  engine: 'fork' | 'process' | 'vm'
  /** Whether an agent tells what the program uses. Of others nothing is known but what they printed. */
  watched: boolean
  /** Modules of the project when it began: path and name. */
  modules: ReadonlyMap<string, string>
  events: AgentEvent[]
  /** Where a program lives that is copied from outside; null for others. */
  sandbox: {
    network: Network
    /** What it writes in its directory is gone with it. */
    isPrivate: boolean
    /** Files that were there when its lineage began; null: not known any more. */
    met: ReadonlySet<string> | null
  } | null
  /** What its queries answered when they were made. */
  answers: Map<string, Promise<string | null>>
  writes: Write[]
  checkpoints: Checkpoint[]
  /** Version of each file in memory, and since when. */
  versions: Map<string, { hash: string; seq: number }>
  /** Units that were exchanged when this branch began, as `file\0unit`. */
  rebased: Set<string>
  /** Where the record cannot be used any more, from a position on. */
  broken: { seq: number; why: string } | null
  /** Checkpoints that were due and impossible. */
  refusals: Refusal[]
  /** What the written paths held at the end; kept under a budget. */
  left: Map<string, Content>
  end: BranchEnd | null
  /** Where it stood when it failed; of branches that were to tell. */
  failure: FailureMessage | null
  /** Where its tests stood that failed. */
  failedTests: FailureMessage[]
  /** What its interpreter said when a signal ended it. */
  fault: string[]
}

/** Size of a terminal where nobody has one. */
export const NO_TERMINAL = { rows: 24, cols: 80 }

/** A branch of which nothing is known yet but how it begins. */
export function newBranch(
  begins: Pick<
    BranchRecord,
    'id' | 'root' | 'env' | 'streams' | 'parent' | 'engine' | 'watched' | 'modules' | 'broken'
  >,
): BranchRecord {
  return {
    ...begins,
    startedAt: Date.now(),
    kind: 'run',
    events: [],
    sandbox: null,
    answers: new Map(),
    writes: [],
    checkpoints: [],
    versions: new Map(),
    rebased: new Set(),
    refusals: [],
    left: new Map(),
    end: null,
    failure: null,
    failedTests: [],
    fault: [],
  }
}

/** What a branch that goes on from a checkpoint has in memory from the start. */
export function inherit(record: BranchRecord, checkpoint: Checkpoint, files: readonly FilePatch[]): void {
  for (const [file, hash] of versionsAt(checkpoint.branch, checkpoint.seq))
    record.versions.set(file, { hash, seq: 0 })
  for (const patch of files) {
    record.versions.set(patch.file, { hash: patch.new, seq: 0 })
    // Under a running frame, or by binding names anew in a module that had run.
    for (const unit of patch.changed) record.rebased.add(`${patch.file}\0${unit}`)
  }
}

export function chainOf(branch: BranchRecord): BranchRecord[] {
  const chain = [branch]
  for (let b = branch.parent; b !== null; b = b.branch.parent) chain.unshift(b.branch)
  return chain
}

/** Why there is no checkpoint soon after the given one, or after the start; null where there is one, or none was due. */
export function refusalAfter(
  branches: readonly BranchRecord[],
  checkpoint: Checkpoint | null,
): string | null {
  const after = branches.filter(
    (branch) => branch.parent === checkpoint || (checkpoint !== null && branch === checkpoint.branch),
  )
  const work = checkpoint?.work ?? 0
  return after.at(-1)?.refusals.find((refusal) => refusal.work === work)?.why ?? null
}

/** The part of each branch that belongs to the lineage of `leaf`: up to and including `limit`. */
export function segmentsOf(leaf: BranchRecord): { branch: BranchRecord; limit: number }[] {
  const chain = chainOf(leaf)
  return chain.map((branch, i) => ({ branch, limit: chain[i + 1]?.parent?.seq ?? Infinity }))
}

/** Paths written in the lineage of `leaf` up to `seq`, with the position of the first write. */
export function writtenUntil(leaf: BranchRecord, seq: number): Map<string, number> {
  const written = new Map<string, number>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const write of branch.writes) {
      if (write.seq <= Math.min(limit, seq) && !written.has(write.path)) written.set(write.path, write.seq)
    }
  }
  return written
}

/** Files of its own whose times the program of a lineage knew at a position, or had decided. */
export function datedUntil(leaf: BranchRecord, seq: number): Set<string> {
  const dated = new Set<string>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const event of branch.events) {
      if (event[0] > Math.min(limit, seq)) break
      if (event[1] === 'dated') dated.add(event[2])
    }
  }
  return dated
}

/** Sources in the lineage of `leaf` up to `seq` that the program had written itself before it loaded them: it will again. */
export function ownSources(leaf: BranchRecord, seq: number): Set<string> {
  const written = writtenUntil(leaf, seq)
  const own = new Set<string>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const event of branch.events) {
      if (event[0] > Math.min(limit, seq)) break
      if (event[1] === 'load' && (written.get(event[2]) ?? Infinity) < event[0]) own.add(event[2])
    }
  }
  return own
}

/** Versions in memory at a position of a branch. */
export function versionsAt(branch: BranchRecord, seq: number): Map<string, string> {
  const versions = new Map<string, string>()
  for (const [file, version] of branch.versions) if (version.seq <= seq) versions.set(file, version.hash)
  return versions
}
