/** From what changed to where a run goes on. */
import type { Change } from '@thaw/protocol'
import type { Binding, FilePatch, FramePatch, StopPlace } from '@thaw/protocol/agent'
import type { Mentioned, Remapping, UnitDifference, Version } from '@thaw/protocol/host'
import { historyOf, unitTitle, type History, type Hit } from './changes.js'
import { chainOf, ownSources, segmentsOf, versionsAt, type BranchRecord, type Checkpoint } from './lineage.js'
import type { Present } from './present.js'
import { HOOKS_RAN } from './execution.js'
import { countsFrom } from './stops.js'
import { basename } from 'node:path'

/** Answers about code, from a warm process; null where nobody can answer any more. */
export interface CodeOracle {
  diff(file: string, old: string, now: string): Promise<UnitDifference | null>
  /** @param frame null: module code that ran to its end */
  remap(
    file: string,
    old: string,
    now: string,
    frame: Checkpoint['stack'][number] | null,
  ): Promise<Remapping | null>
  /**
   * Units of the versions before an edit (`files`) that name one of `names`, or look through the names of modules. Of
   * `running` ones, each in its unit's first call, what is behind the running statement does not count.
   */
  mentioned(
    names: string[],
    files: Version[],
    edited: Version[],
    deep: boolean,
    running: Checkpoint['stack'],
  ): Promise<Mentioned | null>
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
  /** The branch whose result was shown last. */
  last: BranchRecord | null
  present: Present
  oracle: (branch: BranchRecord) => CodeOracle
  stdin: StdinComparison
  disk: ReadonlyMap<string, string | null>
  effects: 'redo' | 'keep'
  /** Why the files of a checkpoint (or of a branch's end) cannot be put back; null when they can. */
  filesProblem: (branch: BranchRecord, seq: number) => string | null
  /** Checkpoints that refused to go on under this edit, and why. */
  refused: ReadonlyMap<Checkpoint, string>
  /** Where the program is to stop: neither a record nor a checkpoint behind these places will do. */
  stops: readonly StopPlace[]
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

/** What lets a changed unit that has run go on: another code under its frame, definitions that come and go. */
interface Survival {
  frames: FramePatch[]
  bind: Binding[]
  unbind: string[]
  /** What must still be bound as it was. */
  was: Binding[]
  /** Names of the module in the order in which they are bound, and those that come to stand elsewhere. */
  order: (string | null)[]
  placed: string[]
}

/** By file. */
type Survivals = Map<string, Survival>

/** How changed units survive at a checkpoint, and whether the order of a module's names may show. */
interface Verdict {
  survivals: Survivals
  ordered: boolean
}

const nothing = (): Survival => ({ frames: [], bind: [], unbind: [], was: [], order: [], placed: [] })

/** Installed packages that are known not to look into a program's classes and modules. */
const KEEP_TO_THEMSELVES = new Set(
  'thaw numpy scipy mpmath requests urllib3 certifi idna charset_normalizer six dateutil pytz packaging regex orjson sortedcontainers'.split(
    ' ',
  ),
)

/**
 * What runs tests, with what is known to come along: it looks into the modules that the agent records, and asks the objects
 * that it is handed for members.
 */
const TEST_RUNNER = new Set(
  (
    'pytest _pytest py pluggy iniconfig pygments _distutils_hack anyio sniffio execnet xdist pytest_asyncio pytest_benchmark ' +
    'pytest_env pytest_html pytest_metadata pytest_mock pytest_randomly pytest_rerunfailures pytest_subtests pytest_sugar ' +
    'pytest_timeout _hypothesis_pytestplugin _hypothesis_globals _hypothesis_ftz_detector'
  ).split(' '),
)

function keepsToItself(path: string, members: boolean): boolean {
  const name = /\/(?:site|dist)-packages\/([^/]+)/.exec(path)?.[1]?.replace(/\..*$/, '')
  // What says which packages there are is no code.
  if (/\.(?:dist|egg)-info\//.test(path)) return true
  return name !== undefined && (KEEP_TO_THEMSELVES.has(name) || (!members && TEST_RUNNER.has(name)))
}

/** Modules that look through the names of a program's modules. */
const LOOKS_AROUND = new Set('fire invoke nox pydoc IPython cloudpickle dill'.split(' '))
/** These too; the agent records which they looked at. */
const LOOKS_WATCHED = new Set('pytest _pytest unittest doctest pluggy nose'.split(' '))
/** Names that they ask any module for. */
const ASKED_OF_MODULES = /^(__|pytest|set_?up|tear_?down|load_tests$|collect_ignore)/i

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
  const shown = input.last === null ? undefined : histories.get(input.last)
  const changed = (shown ?? (newest && histories.get(newest)))?.changes ?? []
  let reason: string | null = null
  const blame = (why: string) => {
    reason ??= why
  }

  for (const branch of branches) {
    const { hits, hot, effects } = histories.get(branch) as History
    if (branch.end === null || input.stops.length > 0) continue
    const why = hot.size > 0 ? 'hot code was edited' : await whyNotReplayed(input, branch, hits)
    if (why === null) {
      return { kind: 'replay', branch, changed, reason: null, effects: effects.map((effect) => effect.text) }
    }
    if (branch === newest) blame(why)
  }

  const candidates = branches
    .flatMap((branch) => branch.checkpoints)
    .filter((checkpoint) => isUsable(checkpoint) && countsFrom(checkpoint, input.stops))
    .sort((a, b) => b.work - a.work)
  // The last one that exists at all: held back by nothing but what made a replay impossible.
  const latest = candidates[0]
  for (const checkpoint of candidates) {
    const { hits, hot, effects } = histories.get(checkpoint.branch) as History
    const outcome = await judge(input, checkpoint, hits)
    if (typeof outcome === 'string') {
      if (checkpoint.branch === newest) reason = outcome
      else blame(outcome)
      continue
    }
    const files = await patchesFor(input, checkpoint, outcome, hot)
    const kept = effects.filter((effect) => effect.seq <= checkpoint.seq).map((effect) => effect.text)
    return {
      kind: 'resume',
      checkpoint,
      files,
      changed,
      // After an edit, that there was one is no news; without, one asks why it was not replayed.
      reason: checkpoint === latest && changed.length > 0 ? null : reason,
      effects: kept,
    }
  }
  return { kind: 'cold', changed, reason }
}

/** A checkpoint that was chosen: how it goes on under the present, or why that would not be exact. */
export type ResumePlan = { changed: Change[]; effects: string[] } & (
  { files: FilePatch[]; why: null } | { files: null; why: string }
)

/** Effects before the checkpoint stand: they belong to what was chosen. */
export async function planFrom(input: PlanInput, checkpoint: Checkpoint): Promise<ResumePlan> {
  const { branch, seq } = checkpoint
  const { diff } = input.oracle(branch)
  const { hits, hot, changes, effects } = await historyOf(branch, input.present, diff, input.disk, true)
  const told = {
    changed: changes,
    effects: effects.filter((effect) => effect.seq <= seq).map((effect) => effect.text),
  }
  if (chainOf(branch).some(({ kind }) => kind === 'hot')) {
    return { ...told, files: null, why: 'it comes from a hot resume' }
  }
  const against = hits.filter(({ why }) => why !== HOOKS_RAN)
  const outcome = await judge(input, checkpoint, against)
  if (typeof outcome === 'string') return { ...told, files: null, why: outcome }
  return { ...told, files: await patchesFor(input, checkpoint, outcome, hot), why: null }
}

function isUsable({ state, image, kind, hooked, branch: { root } }: Checkpoint): boolean {
  // A stop flushes what the program had not: that shows where both streams are one.
  const disturbed = kind === 'stop' && (root.joined || root.terminal !== null)
  return state === 'parked' && image.alive && !disturbed && !hooked
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

/** How changed units survive when the checkpoint holds; else why it does not. */
async function judge(input: PlanInput, checkpoint: Checkpoint, hits: Hit[]): Promise<Verdict | string> {
  const refusal = input.refused.get(checkpoint)
  if (refusal !== undefined) {
    const edited = hits.find(({ seq, unit }) => seq <= checkpoint.seq && unit !== null)
    return `${edited?.why ?? 'edited code cannot be put in place'} (${refusal})`
  }
  const survivals: Survivals = new Map()
  const seen = new Set<string>()
  for (const hit of hits) {
    if (hit.seq > checkpoint.seq) break
    if (hit.unit === null) return hit.why
    const { file, unit } = hit.unit
    if (seen.has(`${file}\0${unit}`)) continue
    seen.add(`${file}\0${unit}`)
    const found = await survival(input, checkpoint, file, unit)
    if (typeof found === 'string') return found === '' ? hit.why : `${hit.why} (${found})`
    const { frames, bind, unbind, was, order, placed } = survivals.get(file) ?? nothing()
    survivals.set(file, {
      frames: [...frames, ...found.frames],
      bind: [...bind, ...found.bind],
      unbind: [...unbind, ...found.unbind],
      was: [...was, ...found.was],
      // Only the module's own code has names to place.
      order: [...order, ...found.order],
      placed: [...placed, ...found.placed],
    })
  }
  const ordered = await definitionNoticed(input, checkpoint, survivals)
  if (typeof ordered === 'string') return ordered
  const files = input.filesProblem(checkpoint.branch, checkpoint.seq)
  if (files !== null) return files
  if (!(await input.stdin.samePrefix(checkpoint.branch, checkpoint.stdin))) {
    return 'its input on stdin is not the same'
  }
  return { survivals, ordered }
}

async function survival(
  input: PlanInput,
  checkpoint: Checkpoint,
  file: string,
  unit: string,
): Promise<Survival | string> {
  const running = checkpoint.stack.filter((frame) => frame.file === file && frame.unit === unit)
  const frame = running[0] ?? null
  if (frame === null ? unit !== '<module>' : running.length > 1 || !frame.single) return ''
  const old = versionsAt(checkpoint.branch, checkpoint.seq).get(file)
  const now = input.present.source(file)
  if (old === undefined || now === null) return ''
  const answer = await input.oracle(checkpoint.branch).remap(file, old, now, frame)
  if (answer === null) return ''
  if (!answer.can) return answer.why
  const { bind = [], unbind = [], was = [], order = [], placed = [] } = answer
  const names = { bind, unbind, was, order, placed }
  if ('at' in answer) return { frames: [{ unit, at: answer.at }], ...names }
  if ('entries' in answer)
    return { frames: [{ unit, entries: answer.entries, first: answer.first }], ...names }
  return { frames: [], ...names }
}

/** Why definitions cannot come and go unnoticed; else whether the program may see in which order names were bound. */
async function definitionNoticed(
  input: PlanInput,
  checkpoint: Checkpoint,
  survivals: Survivals,
): Promise<string | boolean> {
  const all = [...survivals.values()]
  const entries = all.flatMap(({ bind, was }) => [...bind, ...was])
  const names = [
    ...all.flatMap(({ unbind }) => unbind),
    ...entries.flatMap(({ name, also }) => (also === undefined ? [name] : [name, also])),
  ]
  if (names.length === 0 && all.every(({ placed }) => placed.length === 0)) return false
  // Anything but a top-level function may be reached by a library that was handed the class or module.
  const deep = entries.some(({ kind, owner }) => kind !== 'function' || owner !== undefined)
  const files = [...versionsAt(checkpoint.branch, checkpoint.seq)]
  const edited: Version[] = editedAt(input, checkpoint).map(({ file, now }) => [file, now])
  const running = checkpoint.stack.filter(({ single }) => single)
  const answer = await input.oracle(checkpoint.branch).mentioned(names, files, edited, deep, running)
  if (answer === null) return 'definitions changed in code that had run'
  const members = entries.some(({ owner }) => owner !== undefined)
  const unplaced = members || entries.some(({ kind, beside }) => kind === 'class' || beside !== undefined)
  if (answer.ordered && unplaced) {
    return 'classes, their members or imports changed, and the program looks at names in their order'
  }
  if (names.length === 0 && !answer.ordered) return false
  const asked = members || names.some((name) => ASKED_OF_MODULES.test(name))
  const mentions = new Set(answer.units.map(([file, unit]) => `${file}\0${unit}`))
  for (const { branch, limit } of segmentsOf(checkpoint.branch)) {
    for (const event of branch.events) {
      if (event[0] > Math.min(limit, checkpoint.seq)) break
      if (event[1] === 'find' && (LOOKS_AROUND.has(event[2]) || (asked && LOOKS_WATCHED.has(event[2])))) {
        return `definitions changed, and ${event[2]} looks through modules`
      }
      if (event[1] === 'look' && (event[2] === '*' || survivals.has(event[2]))) {
        return `definitions changed, and a library looked through ${basename(event[2])}`
      }
      if (deep && event[1] === 'package' && !keepsToItself(event[2], members)) {
        return `definitions changed, and ${event[2]} may look at them`
      }
      if ((event[1] === 'exec' || event[1] === 'code') && mentions.has(`${event[2]}\0${event[3]}`)) {
        return `${definitionTitle(names[0], entries)} changed, and ${noticer(event[2], event[3])} may have noticed`
      }
    }
  }
  return answer.ordered
}

/** @param name of a module's, or `Class.name` */
function definitionTitle(name: string | undefined, entries: readonly Binding[]): string {
  if (name === undefined) return 'the order of definitions'
  const entry = entries.find((one) => one.name === name)
  const whole = entry?.owner === undefined ? name : `${entry.owner}.${name}`
  if (whole === '__doc__') return "the module's docstring"
  if (whole.endsWith('.__doc__')) return `the docstring of ${whole.slice(0, -'.__doc__'.length)}`
  return `the ${entry?.kind === 'import' ? 'import' : 'definition'} of ${whole}`
}

function noticer(file: string, unit: string): string {
  return unit.startsWith('<module>')
    ? `the top-level code of ${basename(file)}`
    : `${unitTitle(unit)} in ${basename(file)}`
}

/** Sources in memory at a checkpoint that differ from the present ones. */
function editedAt(input: PlanInput, checkpoint: Checkpoint): { file: string; old: string; now: string }[] {
  const generated = ownSources(checkpoint.branch, checkpoint.seq)
  return [...versionsAt(checkpoint.branch, checkpoint.seq)].flatMap(([file, old]) => {
    const now = input.present.source(file)
    return now === null || now === old || generated.has(file) ? [] : [{ file, old, now }]
  })
}

async function patchesFor(
  input: PlanInput,
  checkpoint: Checkpoint,
  { survivals, ordered }: Verdict,
  hot: ReadonlySet<string>,
): Promise<FilePatch[]> {
  const patches: FilePatch[] = []
  for (const { file, old, now } of editedAt(input, checkpoint)) {
    const diff = await input.oracle(checkpoint.branch).diff(file, old, now)
    if (diff === null) continue
    const arm = diff.changed.filter((unit) => hot.has(`${file}\0${unit}`))
    const survival = survivals.get(file) ?? nothing()
    patches.push({ file, old, new: now, changed: diff.changed, ...survival, ordered, arm })
  }
  return patches
}

/** `before train() (app.py:42)`. */
export function placeOf(checkpoint: Checkpoint): string {
  const { unit, file, line } = checkpoint.before
  return `before ${unitTitle(unit)} (${basename(file)}:${line})`
}
