/** Snapshots: an image that was started once, kept at the moment in which it was ready. */
import { z } from 'zod'
import { ImageName } from './image.js'

export const SnapshotName = z
  .string()
  .regex(/^[A-Za-z0-9][\w.-]{0,62}$/, 'letters, digits, dots, dashes and underscores, at most 63')

/**
 * creating -> ready <-> unhealthy; an unhealthy one is rebuilt, which is creating again. `deleted`: not offered any
 * more, and removed when the last instance that was restored from it has gone.
 */
export const SnapshotState = z.enum(['creating', 'ready', 'unhealthy', 'deleted'])
export type SnapshotState = z.infer<typeof SnapshotState>

/** The steps of a build, in their order. */
export const BuildStep = z.enum([
  'start',
  'wait',
  'verify',
  'network',
  'pause',
  'checkpoint',
  'store',
  'destroy',
])
export type BuildStep = z.infer<typeof BuildStep>

/** POST /v1/snapshots. */
export const SnapshotRequest = z.strictObject({
  image: ImageName.nullable().default(null).describe('What is started; null: what the parent was made of.'),
  from: z
    .string()
    .min(1)
    .max(200)
    .nullable()
    .default(null)
    .describe('A parent: the temporary instance is restored from that snapshot instead of started.'),
  name: SnapshotName.nullable().default(null),
  prepare: z
    .array(z.string().regex(/^[^\0]*$/))
    .min(1)
    .max(4096)
    .nullable()
    .default(null)
    .describe('A command run in the temporary instance once it is ready; it has to end with 0.'),
})
export type SnapshotRequest = z.output<typeof SnapshotRequest>
export type SnapshotRequestInput = z.input<typeof SnapshotRequest>

export const Snapshot = z.object({
  id: z.string(),
  name: z.string().nullable(),
  image: z.string().describe('Its name.'),
  image_id: z.string(),
  parent: z.string().nullable(),
  prepare: z.array(z.string()).nullable(),
  automatic: z.boolean().describe('Made because the image was used again, not because somebody asked.'),
  state: SnapshotState,
  reason: z.string().nullable().describe('Why it is unhealthy.'),
  step: BuildStep.nullable().describe('What its build is doing; null: none is under way.'),
  builds: z.number().int().describe('How often it was built.'),
  success_count: z.number().int().describe('Restores of which something became ready.'),
  failure_count: z.number().int(),
  consecutive_failures: z.number().int(),
  last_used_at: z.string().nullable(),
  rebuild_at: z.string().nullable().describe('When it is rebuilt by itself.'),
  memory_bytes: z.number().int().describe('Of the processes’ memory.'),
  disk_bytes: z.number().int().describe('Of files that belong to it.'),
  stored_bytes: z.number().int().describe('What it takes on disk, after compression.'),
  engine: z.enum(['process', 'vm']),
  engine_version: z
    .string()
    .nullable()
    .describe('Of criu, or the machine monitor; null before the first build.'),
  kernel: z.string().nullable(),
  cold_seconds: z.number().nullable().describe('How long the start took that it spares.'),
  build_seconds: z.number().nullable(),
  path: z.string().nullable().describe('Its directory.'),
  created_at: z.string(),
  ready_at: z.string().nullable(),
})
export type Snapshot = z.infer<typeof Snapshot>

export const SnapshotList = z.object({ snapshots: z.array(Snapshot) })

/** One line of what happened to a snapshot. */
export const SnapshotLine = z.object({ time: z.string(), text: z.string() })
export type SnapshotLine = z.infer<typeof SnapshotLine>

export const SnapshotLines = z.object({ lines: z.array(SnapshotLine) })

export const SnapshotVerification = z.object({
  ok: z.boolean(),
  reason: z.string().nullable(),
  seconds: z.number(),
})
export type SnapshotVerification = z.infer<typeof SnapshotVerification>

export const ExportedSnapshot = z.object({ snapshot: z.string(), file: z.string(), bytes: z.number().int() })
export type ExportedSnapshot = z.infer<typeof ExportedSnapshot>

export const SnapshotImportRequest = z.strictObject({
  file: z.string().startsWith('/').max(4096).describe('Of the machine on which the daemon runs.'),
  name: SnapshotName.nullable().default(null).describe('Default: that which it had.'),
})
export type SnapshotImportRequest = z.infer<typeof SnapshotImportRequest>

export const ImportedSnapshot = z.object({
  snapshot: Snapshot,
  warnings: z.array(z.string()).describe('Why it cannot be restored here.'),
})
export type ImportedSnapshot = z.infer<typeof ImportedSnapshot>

export const SnapshotRemoveQuery = z.object({
  cascade: z.stringbool().default(false).describe('With its children and its pools.'),
  force: z.stringbool().default(false).describe('Its children and pools stay, and do without it.'),
})
