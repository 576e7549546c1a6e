/** What is known of a run's branches in sandboxes, kept beside their images: after its daemon they serve the next one. */
import { existsSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Allowance, CheckpointKind } from '@thaw/protocol'
import { eventSchema, frameSchema, preImage, startFiles } from '@thaw/protocol/agent'
import { z } from 'zod'
import { ProcessImage } from '../engines/process/image.js'
import type { Content } from '../files/undo.js'
import { writeFileAtomic, type Log } from '../system/index.js'
import { chainOf, type BranchRecord, type Checkpoint } from './lineage.js'
import type { Run } from './run.js'

/** Raised when what is written could not be read by an older thaw. */
const FORMAT = 1
export const HISTORY_FILE = 'history.json'

const Offsets = z.object({ stdout: z.number(), stderr: z.number(), order: z.number() })
const Size = z.object({ rows: z.number(), cols: z.number() })
export const KeptRoot = z.object({
  env: z.record(z.string(), z.string()),
  terminal: z.enum(['whole', 'output']).nullable(),
  joined: z.boolean(),
  umask: z.number(),
  allowance: Allowance,
  network: z.enum(['host', 'private', 'private+out']).default('host'),
  files: z.object({ directory: z.string(), key: z.string() }).nullable().default(null),
  start: startFiles.nullable().default(null),
})
/** JSON has no infinity. */
const Position = z.number().nullable()

const KeptCheckpoint = z.object({
  id: z.string(),
  seq: z.number(),
  kind: CheckpointKind,
  hooked: z.boolean(),
  name: z.string().nullable(),
  before: z.object({ file: z.string(), unit: z.string(), line: z.number() }),
  stack: z.array(frameSchema),
  work: z.number(),
  stdin: z.number(),
  offsets: Offsets,
  image: z.string(),
  createdAt: z.number(),
})

const KeptBranch = z.object({
  id: z.string(),
  startedAt: z.number().default(Number.MAX_SAFE_INTEGER),
  root: KeptRoot,
  env: z.record(z.string(), z.string()),
  streams: z.object({ stdin: z.enum(['null', 'stream']), joined: z.boolean(), terminal: Size.nullable() }),
  /** A checkpoint of an earlier branch. */
  parent: z.string().nullable(),
  modules: z.array(z.tuple([z.string(), z.string()])),
  events: z.array(eventSchema),
  answers: z.array(z.tuple([z.string(), z.string().nullable()])),
  writes: z.array(
    z.object({ seq: z.number(), path: z.string(), pre: preImage, mode: z.number().nullable() }),
  ),
  checkpoints: z.array(KeptCheckpoint),
  versions: z.array(z.tuple([z.string(), z.object({ hash: z.string(), seq: z.number() })])),
  rebased: z.array(z.string()),
  broken: z.object({ seq: Position, why: z.string() }).nullable(),
  refusals: z.array(z.object({ work: z.number(), why: z.string(), seq: z.number(), sandbox: z.boolean() })),
  left: z.array(z.tuple([z.string(), z.custom<Content>((value) => value !== undefined)])),
  end: z.object({
    complete: z.boolean(),
    code: z.number().nullable(),
    signal: z.string().nullable(),
    work: z.number(),
    stdin: z.number(),
    stdinEnded: z.boolean(),
    offsets: Offsets,
    seconds: z.number(),
  }),
})
type KeptBranch = z.infer<typeof KeptBranch>

const History = z.object({
  format: z.literal(FORMAT),
  optimize: z.number(),
  /** The branch whose files are in the project. */
  last: z.string().nullable(),
  disk: z.array(z.tuple([z.string(), z.string().nullable()])),
  /** Parents before their children. */
  branches: z.array(KeptBranch),
})

const isKept = (branch: BranchRecord) =>
  branch.kind === 'run' && branch.engine === 'process' && branch.watched && branch.end !== null

/** Brings what is known to disk; without branches in sandboxes there is nothing to keep. Never throws. */
export async function keepHistory(run: Run, log: Log): Promise<void> {
  const file = join(run.identity.directory, HISTORY_FILE)
  const kept = run.branches.filter((branch) => chainOf(branch).every(isKept))
  try {
    if (kept.length === 0) return await rm(file, { force: true })
    const history: z.input<typeof History> = {
      format: FORMAT,
      optimize: run.optimize,
      last: run.onDisk?.id ?? null,
      disk: [...run.disk],
      branches: await Promise.all(kept.map(keptBranch)),
    }
    await writeFileAtomic(file, JSON.stringify(history))
  } catch (error) {
    // What an older one says of files holds for fewer of them, which is noticed.
    log.warn('What is known of a run could not be kept.', { error })
  }
}

async function keptBranch(branch: BranchRecord): Promise<z.input<typeof KeptBranch>> {
  const { id, startedAt, root, env, streams, events, writes, broken, refusals, end } = branch
  if (end === null) throw new Error('the branch has not ended')
  const answers = await Promise.all(
    [...branch.answers].map(async ([key, answer]): Promise<[string, string | null]> => [key, await answer]),
  )
  const at = broken === null ? null : { ...broken, seq: Number.isFinite(broken.seq) ? broken.seq : null }
  return {
    id,
    startedAt,
    root,
    env,
    streams,
    events,
    answers,
    writes,
    refusals,
    end,
    broken: at,
    parent: branch.parent?.id ?? null,
    modules: [...branch.modules],
    checkpoints: branch.checkpoints.flatMap((checkpoint) => {
      const { state, image, branch: _, memory: __, ...rest } = checkpoint
      const lives = state === 'parked' && image instanceof ProcessImage && image.alive
      // Also of those that were given up: branches begin there.
      return image instanceof ProcessImage ? [{ ...rest, image: lives ? image.directory : '' }] : []
    }),
    versions: [...branch.versions],
    rebased: [...branch.rebased],
    left: [...branch.left],
  }
}

/** Branches that a run of an earlier daemon knew, whose output belongs to them. */
export function branchesKept(directory: string): string[] {
  try {
    const history = History.parse(JSON.parse(readFileSync(join(directory, HISTORY_FILE), 'utf8')))
    return history.branches.map(({ id }) => id)
  } catch {
    return []
  }
}

/** Gives a run of an earlier daemon what it knew. What cannot be read, or lost its output, is left out. */
export function recallHistory(run: Run, log: Log): void {
  const file = join(run.identity.directory, HISTORY_FILE)
  if (!existsSync(file)) return
  try {
    const history = History.parse(JSON.parse(readFileSync(file, 'utf8')))
    const checkpoints = new Map<string, Checkpoint>()
    for (const kept of history.branches) {
      const parent = kept.parent === null ? null : (checkpoints.get(kept.parent) ?? undefined)
      if (parent === undefined || !existsSync(join(run.branchDirectory(kept.id), 'order'))) continue
      const branch = recalled(kept, parent)
      for (const checkpoint of branch.checkpoints) checkpoints.set(checkpoint.id, checkpoint)
      run.branches.push(branch)
    }
    run.optimize = history.optimize
    for (const [path, state] of history.disk) run.disk.set(path, state)
    run.onDisk = run.branches.find(({ id }) => id === history.last) ?? null
  } catch (error) {
    log.warn('What was known of a run could not be read.', { error, file })
  }
}

function recalled(kept: KeptBranch, parent: Checkpoint | null): BranchRecord {
  const { broken } = kept
  const branch: BranchRecord = {
    ...kept,
    parent,
    kind: 'run',
    engine: 'process',
    watched: true,
    sandbox: null,
    failure: null,
    failedTests: [],
    fault: [],
    modules: new Map(kept.modules),
    answers: new Map(kept.answers.map(([key, answer]) => [key, Promise.resolve(answer)])),
    checkpoints: [],
    versions: new Map(kept.versions),
    rebased: new Set(kept.rebased),
    broken: broken === null ? null : { ...broken, seq: broken.seq ?? Infinity },
    left: new Map(kept.left.map(([path, content]) => [path, stillKept(content)])),
  }
  for (const { image, ...rest } of kept.checkpoints) {
    const opened = openImage(image)
    const state = opened === null ? 'lost' : 'parked'
    branch.checkpoints.push({ ...rest, branch, image: opened ?? GONE, state, memory: null })
  }
  return branch
}

const GONE = { engine: 'process', alive: false, inPlace: false } as const

function openImage(directory: string): ProcessImage | null {
  try {
    return directory === '' ? null : ProcessImage.open(directory)
  } catch {
    return null
  }
}

function stillKept(content: Content): Content {
  if (content === 'unknown' || typeof content.pre !== 'string' || content.pre === 'dir') return content
  return existsSync(content.pre) ? content : 'unknown'
}
