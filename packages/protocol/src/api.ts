import { z } from 'zod'
import { CheckpointNode, RunSummary } from './run.js'
import { SettingSource } from './settings.js'

/** The API's version: the first part of every path, and what a client checks. */
export const API_VERSION = 'v1'

export const ErrorAnswer = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string(),
  details: z.record(z.string(), z.unknown()).optional(),
})

export const RunList = z.object({ runs: z.array(RunSummary) })
export type RunList = z.infer<typeof RunList>

/** An id, a prefix of one that fits nothing else, or `last`. */
export const IdParams = z.object({ id: z.string().min(1).max(200) })

export const IdsQuery = z.object({
  prefix: z.string().max(200).default(''),
  kinds: z.string().default('run,branch,checkpoint').describe('Some of run, branch, checkpoint.'),
})

export const IdList = z.object({ ids: z.array(z.object({ id: z.string(), about: z.string() })) })
export type IdList = z.infer<typeof IdList>

export const LogsQuery = z.object({ stream: z.enum(['stdout', 'stderr', 'both']).default('both') })

export const CheckpointRequest = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][\w.-]{0,63}$/, 'letters, digits, dots, dashes and underscores')
    .nullable()
    .default(null)
    .describe('What to call it.'),
})

/** Paths are of the machine on which the daemon runs. */
export const ExportRequest = z.strictObject({
  file: z.string().startsWith('/').max(4096).describe('A file that does not exist yet.'),
})
export const ImportRequest = z.strictObject({ file: z.string().startsWith('/').max(4096) })

export const Exported = z.object({
  checkpoint: z.string(),
  file: z.string(),
  bytes: z.number().int(),
})
export type Exported = z.infer<typeof Exported>

export const ImportedCheckpoint = z.object({
  checkpoint: CheckpointNode,
  warnings: z.array(z.string()).describe('Why it cannot be restored here, or not without --force.'),
})
export type ImportedCheckpoint = z.infer<typeof ImportedCheckpoint>

export const RemoveQuery = z.object({
  cascade: z.stringbool().default(false).describe('Remove what depends on it as well.'),
  force: z.stringbool().default(false).describe('Stop it first when it is live.'),
})

export const Removed = z.object({ removed: z.array(z.string()) })
export type Removed = z.infer<typeof Removed>

export const Stopped = z.object({ stopped: z.array(z.string()) })
export type Stopped = z.infer<typeof Stopped>

export const Collected = z.object({
  checkpoints: z.number().int().describe('Parked processes that were ended.'),
  records: z.number().int().describe('Output records and stored files that were removed.'),
  bytes: z.number().int().describe('Disk that was freed.'),
})
export type Collected = z.infer<typeof Collected>

export const Version = z.object({ version: z.string(), api: z.string() })
export type Version = z.infer<typeof Version>

export const Health = z.object({ ok: z.literal(true), pid: z.number().int(), uptime_seconds: z.number() })

export const DaemonStatus = z.object({
  pid: z.number().int(),
  version: z.string(),
  uptime_seconds: z.number(),
  socket: z.string(),
  state: z.string(),
  log: z.string(),
  live: z.number().int().describe('Commands that are running now.'),
  busy: z.boolean().describe('Something lives only in memory: the idle exit waits.'),
  idle_exit_seconds: z
    .number()
    .nullable()
    .describe('Until the daemon ends by itself; null while it does not.'),
  memory_bytes: z.number().int(),
})
export type DaemonStatus = z.infer<typeof DaemonStatus>

export const SettingInForce = z.object({
  name: z.string(),
  value: z.unknown(),
  source: SettingSource,
  where: z.string().nullable().describe('File and line, or the variable.'),
  help: z.string(),
})
export type SettingInForce = z.infer<typeof SettingInForce>

/** One line of `thaw doctor`. */
export const Finding = z.object({
  name: z.string(),
  ok: z.boolean(),
  detail: z.string(),
  fix: z.string().nullable().describe('How to get what is missing.'),
})
export type Finding = z.infer<typeof Finding>

/** What `thaw setup` did. */
export const SetupReport = z.object({
  criu: z.object({
    version: z.string(),
    source: z.enum(['system', 'fetched']),
    path: z.string(),
  }),
  fetched: z.boolean().describe('Whether it was fetched now; else it was there.'),
  findings: z.array(Finding),
})
export type SetupReport = z.infer<typeof SetupReport>
