/** What in a branch's history does not hold any more. */
import type { AgentEvent } from '@thaw/protocol/agent'
import type { Change } from '@thaw/protocol'
import type { UnitDifference } from '@thaw/protocol/host'
import { basename, dirname, join } from 'node:path'
import { ownSources, segmentsOf, writtenUntil, type BranchRecord } from './lineage.js'
import type { Present } from './present.js'
import { queryKey } from './query.js'

/** A place in a lineage from which on nothing may be kept. */
export interface Hit {
  seq: number
  /** The sentence for people. */
  why: string
  change: Change | null
  /** A unit of code that a checkpoint inside it may survive. */
  unit: { file: string; unit: string } | null
}

/** Compares versions of a source. Null: cannot be compared any more. */
export type Differ = (file: string, old: string, now: string) => Promise<UnitDifference | null>

export interface History {
  /** In order. */
  hits: Hit[]
  /** Edited units, as `file\0unit`, whose edits the program wants from where it is: they reach nothing that has run. */
  hot: Set<string>
  changes: Change[]
  /** Effects in the lineage, in order; hits only when they are to be redone. */
  effects: { seq: number; text: string }[]
}

export function unitTitle(unit: string): string {
  const name = unit.replace(/#\d+$/, '')
  return name === '<module>' ? 'its top-level code' : `${name}()`
}

/**
 * Everything in the lineage of `leaf` that the present contradicts.
 *
 * @param disk how the paths that this run wrote looked when its last branch ended
 */
export async function historyOf(
  leaf: BranchRecord,
  present: Present,
  differ: Differ,
  disk: ReadonlyMap<string, string | null>,
  effectsAllowed: boolean,
): Promise<History> {
  const segments = segmentsOf(leaf)
  const hits: Hit[] = []
  const changes = new Map<string, Change>()
  const effects: History['effects'] = []
  const written = writtenUntil(leaf, Infinity)
  const hot = hotUnits(segments)
  const hotChanged = new Set<string>()
  const generated = ownSources(leaf, Infinity)
  const hit = (seq: number, why: string, change: Change | null, unit: Hit['unit'] = null) => {
    hits.push({ seq, why, change, unit })
    if (change !== null) changes.set(`${change.file}\0${change.unit ?? ''}\0${change.kind}`, change)
  }

  const cameOrWent = importsThatCameOrWent(segments, present)
  for (const [one, other] of [
    [leaf.modules, present.modules],
    [present.modules, leaf.modules],
  ] as const) {
    for (const [path, name] of one)
      if (!other.has(path) && !written.has(path)) cameOrWent.set(importedAs(name, dirname(path)), path)
  }

  const differences = new Map<string, UnitDifference | null>()
  const difference = async (file: string, old: string): Promise<UnitDifference | null> => {
    const now = present.source(file)
    if (now === null || now === old || generated.has(file)) return null
    const key = `${file}\0${old}`
    let found = differences.get(key)
    if (found === undefined) {
      found = await differ(file, old, now)
      differences.set(key, found)
    }
    return found
  }
  const everythingOf = (file: string, old: string): boolean => {
    const now = present.source(file)
    return now !== null && now !== old && !generated.has(file) && differences.get(`${file}\0${old}`) === null
  }

  /** The version under whose names a segment's event speaks of a unit. */
  const versionFor = (at: number, file: string, unit: string | null): string | undefined => {
    for (let i = segments.length - 1; i > at; i--) {
      const later = segments[i]?.branch
      if (unit !== null && later?.rebased.has(`${file}\0${unit}`) === true)
        return later.versions.get(file)?.hash
    }
    return segments[at]?.branch.versions.get(file)?.hash
  }

  const onCode = async (
    at: number,
    [seq, kind, file, unit]: Extract<AgentEvent, { 1: 'exec' | 'again' | 'code' | 'line' | 'start' }>,
  ) => {
    const old = versionFor(at, file, unit)
    if (old === undefined) return
    const diff = await difference(file, old)
    if (diff === null) return
    if (kind === 'line') {
      const moved = unit === '*' ? diff.moved.length > 0 : diff.moved.includes(unit)
      if (moved) hit(seq, `${basename(file)}: lines moved, and their numbers had been seen`, null)
      return
    }
    if (kind === 'start') {
      if (!diff.shifted.includes(unit) && !diff.removed.includes(unit)) return
      return hit(seq, `${basename(file)}: ${unitTitle(unit)} moved, and its line had been seen`, null)
    }
    if (kind === 'code' && diff.moved.includes(unit)) {
      return hit(seq, `${basename(file)}: ${unitTitle(unit)} moved, and its code had been looked at`, null)
    }
    const gone = diff.removed.includes(unit)
    if (!gone && !diff.changed.includes(unit)) return
    if (!gone && isHot(hot, file, unit)) return void hotChanged.add(`${file}\0${unit}`)
    const why = `${basename(file)}: ${unitTitle(unit)} was ${gone ? 'removed' : 'edited'}, and had run`
    hit(seq, why, null, kind === 'code' ? null : { file, unit })
  }

  const onInput = (event: AgentEvent) => {
    const [seq, kind] = event
    const input = (path: string, why: string, sort: Change['kind'] = 'input') =>
      hit(seq, why, { file: path, unit: null, kind: sort })
    /** The program made it so itself, and will again. */
    const own = (path: string) => (written.get(path) ?? Infinity) < seq || present.own(path)
    const later = (path: string) => (written.has(path) ? ' (the program writes it, too)' : '')
    switch (kind) {
      case 'read':
      case 'package':
        if (own(event[2]) || present.sameRead(event[2], event[3])) return
        return input(
          event[2],
          `${event[2]} changed after it was read${later(event[2])}`,
          kind === 'read' ? 'input' : 'package',
        )
      case 'stat':
        if (own(event[2]) || present.sameStat(event[2], event[3])) return
        return input(event[2], `${event[2]} changed after it was looked at`)
      case 'lstat':
        if (own(event[2]) || present.sameLink(event[2], event[3])) return
        return input(event[2], `${event[2]} changed after it was looked at`)
      case 'list':
        if (present.own(event[2]) || present.list(event[2]) === event[3]) return
        return input(event[2], `files came to or went from ${event[2]} after it was listed`)
      case 'find': {
        const path = cameOrWent.get(event[2])
        return path === undefined
          ? undefined
          : input(path, `the module ${event[2]} came or went after it was looked for`)
      }
      case 'env': {
        if (present.env(event[2]) === event[3]) return
        const name = event[2] === '*' ? 'the environment' : `the environment variable ${event[2]}`
        return hit(seq, `${name} changed after it was read`, { file: event[2], unit: null, kind: 'env' })
      }
      case 'effect':
        effects.push({ seq, text: event[3] })
        return effectsAllowed ? undefined : hit(seq, `${event[3]} has to happen again`, null)
      case 'opaque':
        return hit(seq, `from there on nothing can be known (${event[2]})`, null)
      default:
    }
  }

  for (const [at, { branch, limit }] of segments.entries()) {
    if (branch.broken !== null && branch.broken.seq <= limit) hit(branch.broken.seq, branch.broken.why, null)
    for (const event of branch.events) {
      if (event[0] > limit) break
      switch (event[1]) {
        case 'load': {
          const [seq, , file, hash] = event
          const old = versionFor(at, file, null) ?? hash
          if (present.source(file) === null && !generated.has(file)) {
            hit(seq, `${file} is gone`, { file, unit: null, kind: 'removed' })
          } else {
            await difference(file, old)
            // Nobody can say which part: the whole file counts.
            if (everythingOf(file, old)) {
              hit(seq, `${basename(file)} was edited`, { file, unit: null, kind: 'body' })
            }
          }
          break
        }
        case 'exec':
        case 'again':
        case 'code':
        case 'line':
        case 'start':
          await onCode(at, event)
          break
        case 'query': {
          const [seq, , argv, cwd] = event
          const then = await branch.answers.get(queryKey(argv, cwd))
          if (then === undefined || (await present.query(argv, cwd)) !== then) {
            hit(seq, `${argv.join(' ')} answers differently`, null)
          }
          break
        }
        default:
          onInput(event)
      }
    }
  }
  for (const [path, seq] of written) {
    if (disk.has(path) && present.disk(path) !== disk.get(path)) {
      hit(seq, `${path}, which the program had written, was changed since`, {
        file: path,
        unit: null,
        kind: 'input',
      })
    }
  }
  // What a branch went on with is what its user saw last; code that ran before, under its name of then, is no news.
  for (const [file, { hash }] of leaf.versions) {
    const found = await difference(file, hash)
    if (found !== null) noteChanges(file, found, changes)
  }
  hits.sort((a, b) => a.seq - b.seq)
  return { hits, hot: hotChanged, changes: [...changes.values()], effects }
}

/** With it a directory is a package, without it part of one that may be spread over several. */
function importedAs(name: string, directory: string): string {
  return name === '__init__' ? basename(directory) : name
}

/** Names of modules outside of the project that could not be found there, or can no more, with a path of each. */
function importsThatCameOrWent(
  segments: ReturnType<typeof segmentsOf>,
  present: Present,
): Map<string, string> {
  const found = new Map<string, string>()
  for (const { branch, limit } of segments) {
    for (const event of branch.events) {
      if (event[0] > limit) break
      if (event[1] !== 'names' || present.own(event[2])) continue
      const [, , directory, names] = event
      const [then, now] = [new Set(names), present.names(directory)]
      for (const name of new Set([...then, ...now])) {
        if (then.has(name) === now.has(name)) continue
        found.set(importedAs(name, directory), join(directory, name))
      }
    }
  }
  return found
}

/** Units that the program has marked with `@thaw.hot`, as `file\0qualname`. */
function hotUnits(segments: ReturnType<typeof segmentsOf>): Set<string> {
  const found = new Set<string>()
  for (const { branch, limit } of segments) {
    for (const event of branch.events) {
      if (event[0] > limit) break
      if (event[1] === 'hot') found.add(`${event[2]}\0${event[3].replace(/#\d+$/, '')}`)
    }
  }
  return found
}

/** What is defined inside of a hot function is hot with it. */
function isHot(hot: ReadonlySet<string>, file: string, unit: string): boolean {
  const name = unit.replace(/#\d+$/, '')
  return [...hot].some(
    (one) => `${file}\0${name}` === one || `${file}\0${name}`.startsWith(`${one}.<locals>.`),
  )
}

export function noteChanges(file: string, diff: UnitDifference, changes: Map<string, Change>): void {
  const note = (unit: string, kind: Change['kind']) => {
    changes.set(`${file}\0${unit}\0${kind}`, { file, unit: unit.replace(/#\d+$/, ''), kind })
  }
  for (const unit of diff.changed) note(unit, unit.startsWith('<module>') ? 'statement' : 'body')
  for (const unit of diff.added) note(unit, 'added')
  for (const unit of diff.removed) note(unit, 'removed')
}
