/** What the journal keeps of a checkpoint, and how one whose image lies on disk comes back after its daemon. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointKind } from '@thaw/protocol'
import { z } from 'zod'
import { isWhole, ProcessImage } from '../engines/process/image.js'
import { VmImage } from '../engines/vm/image.js'
import type { CheckpointRow } from '../store/index.js'
import { KeptRoot } from './history.js'
import { newBranch, NO_TERMINAL, nowhere, type BranchRecord, type Checkpoint } from './lineage.js'
import type { Run } from './run.js'

const Offsets = z.object({ stdout: z.number(), stderr: z.number(), order: z.number() })

/** Of one on disk: where, and what its branch was begun with. */
export const Outlasting = z.object({
  kind: CheckpointKind,
  name: z.string().nullable(),
  offsets: Offsets,
  stdin: z.number(),
  image: z.string(),
  notCovered: z.array(z.string()).default([]),
  root: KeptRoot,
  stdinKind: z.enum(['null', 'stream']),
  /** There is an agent in it, and what it told is in the run's history: without that it is of no use. */
  watched: z.boolean().default(false),
  engine: z.enum(['process', 'vm']).default('process'),
})

export function keptOf(checkpoint: Checkpoint): unknown {
  const { kind, name, offsets, stdin, image, branch } = checkpoint
  if (!(image instanceof ProcessImage || image instanceof VmImage)) return { kind, name, offsets }
  const kept: z.infer<typeof Outlasting> = {
    kind,
    name,
    offsets,
    stdin,
    image: image.directory,
    notCovered: image instanceof VmImage ? [] : image.notCovered,
    root: branch.root,
    stdinKind: branch.streams.stdin,
    watched: branch.watched,
    engine: image.engine,
  }
  return kept
}

/** Whether it can be restored without the daemon that made it. */
export function outlasts({ state, data }: CheckpointRow): boolean {
  return state === 'parked' && Outlasting.safeParse(data).success
}

/** Whether it is one on disk that thaw did not take by itself. */
export function isAskedFor(row: CheckpointRow): boolean {
  return outlasts(row) && Outlasting.parse(row.data).kind !== 'moment'
}

/** The image of a checkpoint with an agent in it; null: it is none. */
export function watchedImage({ state, data }: CheckpointRow): string | null {
  const read = Outlasting.safeParse(data)
  return read.success && read.data.watched && state === 'parked' ? read.data.image : null
}

/** A checkpoint of an earlier daemon, as part of its run again; null where nothing of it is left. */
export function revive(row: CheckpointRow, run: Run): Checkpoint | null {
  const read = Outlasting.safeParse(row.data)
  if (!read.success || row.state !== 'parked' || read.data.watched) return null
  const { engine } = read.data
  let image: ProcessImage | VmImage
  try {
    image = engine === 'vm' ? VmImage.open(read.data.image) : ProcessImage.open(read.data.image)
  } catch {
    return null
  }
  const { kind, name, offsets, stdin, root, stdinKind } = read.data
  let branch = run.branches.find(({ id }) => id === row.branch)
  if (branch === undefined) {
    branch = branchOf(row.branch, engine, root, stdinKind)
    run.branches.unshift(branch)
  }
  const checkpoint: Checkpoint = {
    id: row.id,
    branch,
    kind,
    name,
    offsets,
    stdin,
    image,
    work: row.atSeconds,
    ...nowhere(),
    seq: 0,
    state: 'parked',
    memory: null,
    createdAt: row.createdAt,
  }
  branch.checkpoints.push(checkpoint)
  return checkpoint
}

/**
 * What lies among a run's images and belongs to no checkpoint that can be restored: its daemon was killed while it was
 * made or given up. Prerequisite: nothing of the run is live.
 *
 * @param directory of the images
 */
export function strayImages(directory: string, checkpoints: readonly CheckpointRow[]): string[] {
  if (!existsSync(directory)) return []
  const kept = new Set(
    checkpoints.flatMap(({ state, data }) => {
      const read = Outlasting.safeParse(data)
      return state === 'parked' && read.success ? [read.data.image] : []
    }),
  )
  return readdirSync(directory)
    .map((name) => join(directory, name))
    .filter((path) => !kept.has(path) || !isWhole(path))
}

/** What a new branch needs of one that ended with its daemon. */
function branchOf(
  id: string,
  engine: 'process' | 'vm',
  root: BranchRecord['root'],
  stdin: 'null' | 'stream',
): BranchRecord {
  const terminal = root.terminal === null ? null : NO_TERMINAL
  return newBranch({
    id,
    root,
    env: root.env,
    streams: { stdin, joined: root.joined, terminal },
    parent: null,
    engine,
    watched: false,
    modules: new Map(),
    broken: { seq: 0, why: 'it ended with its daemon' },
  })
}
