/** Whether what a run depended on is still as it was. */
import { dirname } from 'node:path'
import type { Group } from '../group.js'
import { historyOf } from '../changes.js'
import { segmentsOf, type BranchRecord } from '../lineage.js'
import { lookNow, type Present } from '../present.js'
import { listDigest } from '../../files/signature.js'
import type { Run } from '../run.js'
import type { Scope } from '../../system/index.js'
import type { Workshop } from '../workshop.js'
import { contentsMet, isBelow, type ProjectCopy } from './copy.js'

/** Effects in a lineage, in order, each once. */
export function effectsOf(leaf: BranchRecord): string[] {
  const found = new Set<string>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const event of branch.events) if (event[0] <= limit && event[1] === 'effect') found.add(event[3])
  }
  return [...found]
}

/**
 * Why a cold run of what was copied from outside may differ without anybody's fault: what the program uses is not known,
 * and what it found where it wrote was not kept.
 *
 * @param began when its lineage began, in milliseconds since 1970
 */
export function doubtsOf(run: Run, leaf: BranchRecord, began: number): string[] {
  const written = new Set<string>()
  const unmet = new Set<string>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const { seq, path, pre } of branch.writes) {
      if (seq > limit || written.has(path)) continue
      written.add(path)
      if (pre !== null) unmet.add(path)
    }
  }
  const others = run.tree
    .changedSince(began)
    .filter((path) => !written.has(path) && !run.leftFiles.isLeft(path))
  return [
    ...(unmet.size > 0 ? [`what it found in ${listed(unmet)}, where it wrote, was not kept`] : []),
    ...(others.length > 0 ? [`${listed(others)} changed after it had begun`] : []),
  ]
}

function listed(paths: Iterable<string>): string {
  const all = [...paths]
  return all.slice(0, 3).join(', ') + (all.length > 3 ? ` and ${all.length - 3} more` : '')
}

/** Why a cold run in the copy would not be one of what this branch ran on; null when nothing speaks against it. */
export async function whyOutdated(
  shop: Workshop,
  run: Run,
  leaf: BranchRecord,
  copy: ProjectCopy,
  scope: Scope,
): Promise<string | null> {
  const now = lookNow(leaf.env, run.tree.modules(), shop.sources, shop.contents, scope)
  const group = run.groupOf.get(leaf)
  const oracle: Pick<Group, 'diff'> =
    group?.family.host.alive === true ? group : { diff: () => Promise.resolve(null) }
  const { hits } = await historyOf(leaf, asMet(now, leaf, copy, shop), oracle.diff, new Map(), true)
  const unknowable = new Set<number>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const event of branch.events)
      if (event[0] <= limit && event[1] === 'opaque') unknowable.add(event[0])
  }
  return hits.find(({ seq, change }) => change !== null || !unknowable.has(seq))?.why ?? null
}

/** The present in which nothing has been written yet: what the run wrote is in the copy as the run had met it. */
function asMet(now: Present, leaf: BranchRecord, copy: ProjectCopy, shop: Workshop): Present {
  const written = contentsMet(leaf)
  const listings = new Set([...written.keys()].map(dirname))
  const there = (path: string) =>
    path === copy.project || isBelow(path, copy.project)
      ? copy.directory + path.slice(copy.project.length)
      : path
  return {
    ...now,
    source: (file) => (written.has(file) ? shop.sources.of(there(file)) : now.source(file)),
    sameRead: (path, seen) => written.has(path) || now.sameRead(path, seen),
    sameStat: (path, seen) => written.has(path) || isParent(path) || now.sameStat(path, seen),
    sameLink: (path, seen) => written.has(path) || isParent(path) || now.sameLink(path, seen),
    list: (directory) => (listings.has(directory) ? listDigest(there(directory)) : now.list(directory)),
  }

  /** Its time changes with what is written into it. */
  function isParent(path: string): boolean {
    return listings.has(path)
  }
}
