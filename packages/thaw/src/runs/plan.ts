/** From what changed to where a run goes on. */
import type { Change } from '@thaw/protocol'
import type { FilePatch, FramePatch } from '@thaw/protocol/agent'
import type { Remapping, UnitDifference } from '@thaw/protocol/host'
import { historyOf, unitTitle, type History, type Hit } from './changes.js'
import { versionsAt, type BranchRecord, type Checkpoint } from './lineage.js'
import type { Present } from './present.js'
import { basename } from 'node:path'

/** Answers about code, from a warm process; null where nobody can answer any more. */
export interface CodeOracle {
  diff(file: string, old: string, now: string): Promise<UnitDifference | null>
  remap(file: string, old: string, now: string, frame: Checkpoint['stack'][number]): Promise<Remapping | null>
}

/** What the caller sends on stdin, compared with what a branch was sent. */
export interface StdinComparison {
  /** Whether the first `bytes` are the same as that branch's. */
  samePrefix(branch: BranchRecord, bytes: number): Promise<boolean>
  /** Whether all of it is the same, and it ends as it ended then. */
  sameWhole(branch: BranchRecord): Promise<boolean>
}

export interface PlanInput {
  branches: BranchRecord[]
  present: Present
  oracle: (branch: BranchRecord) => CodeOracle
  stdin: StdinComparison
  disk: ReadonlyMap<string, string | null>
  effects: 'redo' | 'keep'
  /** Why the files of a checkpoint (or of a branch's end) cannot be put back; null when they can. */
  filesProblem: (branch: BranchRecord, seq: number) => string | null
  /** Whether the branch's record can be shown again. */
  replayable: (branch: BranchRecord) => boolean
}

export type Plan = {
  changed: Change[]
  /** Why not later; null when nothing held it back. */
  reason: string | null
} & (
  | { kind: 'replay'; branch: BranchRecord; effects: string[] }
  | { kind: 'resume'; checkpoint: Checkpoint; files: FilePatch[]; effects: string[] }
  | { kind: 'cold' }
)

/** An exchange of code under a frame, by file. */
type Frames = Map<string, FramePatch[]>

export async function makePlan(input: PlanInput): Promise<Plan> {
  // The newest first: of two places that save the same, its files are already in place.
  const branches = [...input.branches].reverse()
  const histories = new Map<BranchRecord, History>()
  for (const branch of branches) {
    const { diff } = input.oracle(branch)
    const effectsAllowed = input.effects === 'keep'
    histories.set(branch, await historyOf(branch, input.present, diff, input.disk, effectsAllowed))
  }
  const newest = branches[0]
  const changed = newest === undefined ? [] : (histories.get(newest) as History).changes
  let reason: string | null = null
  const blame = (why: string) => {
    reason ??= why
  }

  for (const branch of branches) {
    const { hits, effects } = histories.get(branch) as History
    if (branch.end === null) continue
    const why = await whyNotReplayed(input, branch, hits)
    if (why === null) {
      return { kind: 'replay', branch, changed, reason: null, effects: effects.map((effect) => effect.text) }
    }
    if (branch === newest) blame(why)
  }

  const candidates = branches
    .flatMap((branch) => branch.checkpoints)
    .filter((checkpoint) => checkpoint.state === 'parked' && checkpoint.image.alive)
    .sort((a, b) => b.work - a.work)
  // The last one that exists at all: held back by nothing but what made a replay impossible.
  const latest = candidates[0]
  for (const checkpoint of candidates) {
    const { hits, effects } = histories.get(checkpoint.branch) as History
    const outcome = await judge(input, checkpoint, hits)
    if (typeof outcome === 'string') {
      if (checkpoint.branch === newest) reason = outcome
      else blame(outcome)
      continue
    }
    const files = await patchesFor(input, checkpoint, outcome)
    const kept = effects.filter((effect) => effect.seq <= checkpoint.seq).map((effect) => effect.text)
    return { kind: 'resume', checkpoint, files, changed, reason: checkpoint === latest ? null : reason, effects: kept }
  }
  return { kind: 'cold', changed, reason }
}

async function whyNotReplayed(input: PlanInput, branch: BranchRecord, hits: Hit[]): Promise<string | null> {
  const end = branch.end
  if (end === null) return 'the last run has not ended'
  if (hits[0] !== undefined) return hits[0].why
  if (!end.complete) return 'the last run was ended before it could report everything'
  if (!input.replayable(branch)) return 'its output was not recorded to the end'
  const files = input.filesProblem(branch, Infinity)
  if (files !== null) return files
  if (!(await input.stdin.sameWhole(branch))) return 'its input on stdin is not the same'
  return null
}

/** The frames to exchange when the checkpoint holds; else why it does not. */
async function judge(input: PlanInput, checkpoint: Checkpoint, hits: Hit[]): Promise<Frames | string> {
  const frames: Frames = new Map()
  const seen = new Set<string>()
  for (const hit of hits) {
    if (hit.seq > checkpoint.seq) break
    if (hit.unit === null) return hit.why
    const { file, unit } = hit.unit
    if (seen.has(`${file}\0${unit}`)) continue
    seen.add(`${file}\0${unit}`)
    const patch = await exchange(input, checkpoint, file, unit)
    if (typeof patch === 'string') return patch === '' ? hit.why : `${hit.why} (${patch})`
    frames.set(file, [...(frames.get(file) ?? []), patch])
  }
  const files = input.filesProblem(checkpoint.branch, checkpoint.seq)
  if (files !== null) return files
  if (!(await input.stdin.samePrefix(checkpoint.branch, checkpoint.stdin))) {
    return 'its input on stdin is not the same'
  }
  return frames
}

async function exchange(
  input: PlanInput,
  checkpoint: Checkpoint,
  file: string,
  unit: string,
): Promise<FramePatch | string> {
  const running = checkpoint.stack.filter((frame) => frame.file === file && frame.unit === unit)
  const frame = running[0]
  if (frame === undefined || running.length > 1 || !frame.single) return ''
  const old = versionsAt(checkpoint.branch, checkpoint.seq).get(file)
  const now = input.present.source(file)
  if (old === undefined || now === null) return ''
  const answer = await input.oracle(checkpoint.branch).remap(file, old, now, frame)
  if (answer === null) return ''
  if (!answer.can) return answer.why
  return 'at' in answer ? { unit, at: answer.at } : { unit, entries: answer.entries, first: answer.first }
}

async function patchesFor(input: PlanInput, checkpoint: Checkpoint, frames: Frames): Promise<FilePatch[]> {
  const patches: FilePatch[] = []
  for (const [file, old] of versionsAt(checkpoint.branch, checkpoint.seq)) {
    const now = input.present.source(file)
    if (now === null || now === old) continue
    const diff = await input.oracle(checkpoint.branch).diff(file, old, now)
    if (diff === null) continue
    patches.push({ file, old, new: now, changed: diff.changed, frames: frames.get(file) ?? [] })
  }
  return patches
}

/** `before train() (app.py:42)`. */
export function placeOf(checkpoint: Checkpoint): string {
  const { unit, file, line } = checkpoint.before
  return `before ${unitTitle(unit)} (${basename(file)}:${line})`
}
