/** Places at which a program is to stop: from what people call them to what the agent knows. */
import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { BreakPlace } from '@thaw/protocol'
import type { FilePatch, StopPlace } from '@thaw/protocol/agent'
import type { ProjectTree } from '../files/scan.js'
import { ThawError } from '../system/index.js'
import type { Group } from './group.js'
import { segmentsOf, versionsAt, type Checkpoint } from './lineage.js'

interface Surroundings {
  group: Group
  tree: ProjectTree
  cwd: string
  /** The main script, relative to `cwd` or absolute. */
  script: string | null
}

/** @throws ThawError PLACE_NOT_FOUND, SYNTAX_ERROR */
export async function findStops(
  breaks: readonly BreakPlace[],
  surroundings: Surroundings,
): Promise<StopPlace[]> {
  const found: StopPlace[] = []
  for (const place of breaks) {
    const file = fileOf(place, surroundings)
    const { places, names } = await surroundings.group.place(file, place.name, place.line)
    if (places.length === 0) throw notFound(place, file, names)
    for (const [unit, line] of places) found.push({ file, unit, line, count: place.count })
  }
  return found
}

function fileOf(place: BreakPlace, { tree, cwd, script }: Surroundings): string {
  if (place.module === '__main__' && script !== null) return resolve(cwd, script)
  const direct = place.file === null ? null : resolve(cwd, place.file)
  if (direct !== null && existsSync(direct)) {
    if (direct.startsWith(`${tree.root}/`)) return direct
    throw new ThawError('PLACE_NOT_FOUND', `${direct} is not part of the project ${tree.root}.`)
  }
  const path = place.module?.replaceAll('.', '/')
  const ends = path === undefined ? [`/${place.file}`] : [`/${path}.py`, `/${path}/__init__.py`]
  const fitting = tree.files()[0].filter((file) => ends.some((end) => file.endsWith(end)))
  const [only, second] = fitting
  if (only === undefined) {
    throw new ThawError('PLACE_NOT_FOUND', `${place.text}: there is no such file in ${tree.root}.`)
  }
  if (second !== undefined) {
    throw new ThawError('PLACE_NOT_FOUND', `${place.text} may be ${fitting.slice(0, 4).join(' or ')}.`)
  }
  return only
}

function notFound(place: BreakPlace, file: string, names: readonly string[]): ThawError {
  if (place.line !== null) {
    return new ThawError(
      'PLACE_NOT_FOUND',
      `${basename(file)} has no code at line ${place.line} or behind it.`,
    )
  }
  const near = names.filter((name) => !name.includes('<')).slice(0, 12)
  const has = near.length === 0 ? 'It has no functions.' : `It has ${near.join(', ')}.`
  return new ThawError('PLACE_NOT_FOUND', `${basename(file)} has no function ${place.name}. ${has}`)
}

/** Whether nothing in which the program is to stop has run before a checkpoint: times are counted from the start. */
export function countsFrom(checkpoint: Checkpoint, stops: readonly StopPlace[]): boolean {
  if (stops.length === 0) return true
  // The copy has come to that unit already, and would go on behind the place where it is to stop.
  const { before } = checkpoint
  if (stops.some(({ file, unit }) => file === before.file && unit === before.unit)) return false
  for (const { branch, limit } of segmentsOf(checkpoint.branch)) {
    for (const event of branch.events) {
      if (event[0] > Math.min(limit, checkpoint.seq)) break
      if (event[1] === 'exec' && stops.some(({ file, unit }) => file === event[2] && unit === event[3])) {
        return false
      }
    }
  }
  return true
}

/** The patches of a restore, with what it takes to stop in code that is loaded, and may have run, already. */
export function withStops(
  patches: readonly FilePatch[],
  checkpoint: Checkpoint,
  stops: readonly StopPlace[],
): FilePatch[] {
  const byFile = new Map(patches.map((patch) => [patch.file, { ...patch }]))
  const versions = versionsAt(checkpoint.branch, checkpoint.seq)
  for (const { file, unit, line } of stops) {
    const hash = versions.get(file)
    if (hash === undefined) continue
    const patch = byFile.get(file) ?? { file, old: hash, new: hash, changed: [], frames: [] }
    byFile.set(file, patch)
    patch.arm = [...(patch.arm ?? []), unit]
    if (line === null) continue
    if (!patch.changed.includes(unit)) patch.changed = [...patch.changed, unit]
    const frames = checkpoint.stack.filter((frame) => frame.file === file && frame.unit === unit)
    const [only] = frames
    if (only === undefined || frames.length > 1 || patch.frames.some((frame) => frame.unit === unit)) continue
    // Below C code the evaluator holds on to the code it has: there the line counts from the next call.
    if (only.inline) patch.frames = [...patch.frames, { unit, at: only.lasti }]
  }
  return [...byFile.values()]
}
