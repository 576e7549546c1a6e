import { z } from 'zod'
import { BranchNode, CheckpointNode, CheckpointState, ProgramExit, RunReport, RunSummary } from './run.js'
import { TcpAddress } from './access.js'
import { SettingSource } from './settings.js'

/** The API's version: the first part of every path, and what a client checks. */
export const API_VERSION = 'v1'

/** A problem document (RFC 9457): `type` is a page on the code. */
export const ErrorAnswer = z
  .object({
    type: z.string().optional(),
    status: z.number().int().optional(),
    code: z.string().describe('Of the catalogue in docs/errors.'),
    message: z.string().describe('What happened.'),
    hint: z.string().describe('What to do.'),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'Problem' })

/** A text that the journal can look up: its strings end with a NUL. */
const lookedUp = (text: string) => !text.includes('\0')
const Id = z.string().min(1).max(200).refine(lookedUp, 'holds a NUL')

/** Part of a listing. Each listing names its items; `next` is the same everywhere. */
export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe('Most items of one page.'),
  cursor: z.string().max(500).optional().describe('`next` of the page before.'),
})
export type PageQuery = z.infer<typeof PageQuery>
const next = z.string().nullable().describe('The cursor of the page that follows; null on the last one.')

export const RunList = z.object({ runs: z.array(RunSummary), next })
export type RunList = z.infer<typeof RunList>

/** An id, a prefix of one that fits nothing else, or `last`. */
export const IdParams = z.object({
  id: Id.describe('An id, a prefix of one that fits nothing else, a name, or `last`.'),
})

export const IdsQuery = z.object({
  prefix: z.string().max(200).refine(lookedUp, 'holds a NUL').default(''),
  kinds: z
    .string()
    .default('run,branch,checkpoint')
    .describe('Some of run, branch, checkpoint, instance, instance-checkpoint, image, snapshot, pool.'),
})

export const IdList = z.object({ ids: z.array(z.object({ id: z.string(), about: z.string() })) })
export type IdList = z.infer<typeof IdList>

/** What GET /v1/runs/ID also tells: the last report. */
export const RunDetail = RunSummary.extend({ report: RunReport.nullable() }).meta({ id: 'RunDetail' })
export type RunDetail = z.infer<typeof RunDetail>

export const LogsQuery = z.object({
  stream: z.enum(['stdout', 'stderr', 'both']).default('both').describe('`both`: stdout, then stderr.'),
  tail: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 24)
    .optional()
    .describe('Only so many of the last bytes of each.'),
})

export const CheckpointQuery = PageQuery.extend({
  run: Id.optional().describe('Only those of this run.'),
  state: CheckpointState.optional(),
})
export const CheckpointList = z.object({ checkpoints: z.array(CheckpointNode), next })
export type CheckpointList = z.infer<typeof CheckpointList>

export const BranchQuery = PageQuery.extend({
  run: Id.describe('The run whose branches they are.'),
})
export const BranchList = z.object({ branches: z.array(BranchNode), next })
export type BranchList = z.infer<typeof BranchList>

export const CompareQuery = z.object({
  a: Id.describe('A branch, or a run for its last branch.'),
  b: Id,
})

const ComparedStream = z.object({
  same: z.boolean(),
  diff: z.string().describe('From a to b, as `diff -u` prints it; empty where they are the same.'),
  complete: z.boolean().describe('False where only the beginning was compared, or the difference was cut.'),
})

/** How what two branches printed differs, from the start of the program to its end. */
export const Comparison = z
  .object({
    a: z.object({ branch: z.string(), exit: ProgramExit.nullable() }),
    b: z.object({ branch: z.string(), exit: ProgramExit.nullable() }),
    same: z.boolean().describe('Output and exit.'),
    stdout: ComparedStream,
    stderr: ComparedStream,
  })
  .meta({ id: 'Comparison' })
export type Comparison = z.infer<typeof Comparison>

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

export const DaemonStatus = z
  .object({
    pid: z.number().int(),
    version: z.string(),
    uptime_seconds: z.number(),
    socket: z.string(),
    state: z.string(),
    log: z.string(),
    live: z.number().int().describe('Commands and instances that are running now.'),
    tcp: TcpAddress.nullable().describe('Where it listens beside its socket.'),
    busy: z.boolean().describe('Something lives only in memory: the idle exit waits.'),
    idle_exit_seconds: z
      .number()
      .nullable()
      .describe('Until the daemon ends by itself; null while it does not.'),
    memory_bytes: z.number().int(),
  })
  .meta({ id: 'DaemonStatus' })
export type DaemonStatus = z.infer<typeof DaemonStatus>

export const SettingInForce = z
  .object({
    name: z.string(),
    value: z.unknown(),
    source: SettingSource,
    where: z.string().nullable().describe('File and line, or the variable.'),
    help: z.string(),
  })
  .meta({ id: 'SettingInForce' })
export type SettingInForce = z.infer<typeof SettingInForce>

/** One line of `thaw doctor`. */
export const Finding = z
  .object({
    name: z.string(),
    ok: z.boolean(),
    detail: z.string(),
    fix: z.string().nullable().describe('How to get what is missing.'),
  })
  .meta({ id: 'Finding' })
export type Finding = z.infer<typeof Finding>

/** For which engine what it lacks is to be fetched. */
export const SetupQuery = z.strictObject({ engine: z.enum(['process', 'vm']).default('process') })

/** What `thaw setup` did. */
export const SetupReport = z
  .object({
    criu: z
      .object({
        version: z.string(),
        source: z.enum(['system', 'fetched']),
        path: z.string(),
      })
      .nullable()
      .describe('Of the process engine; null when another was asked for.'),
    qemu: z
      .object({ version: z.string(), kernel: z.string(), path: z.string() })
      .nullable()
      .describe('Of the vm engine; null when another was asked for.'),
    fetched: z.boolean().describe('Whether it was fetched now; else it was there.'),
    findings: z.array(Finding),
  })
  .meta({ id: 'SetupReport' })
export type SetupReport = z.infer<typeof SetupReport>
