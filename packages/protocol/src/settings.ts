import { z } from 'zod'

const SIZE_UNITS: Record<string, number> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** Bytes as a number, or as text: `512MB`, `1.5 GiB`. */
export const Size = z
  .union([z.number().int().nonnegative(), z.string()])
  .transform((value, context): number => {
    if (typeof value === 'number') return value
    const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value)
    const factor = SIZE_UNITS[(match?.[2] ?? '').toUpperCase()]
    if (match === null || factor === undefined) {
      context.addIssue({ code: 'custom', message: 'expected a size such as 512MB or 2GiB' })
      return z.NEVER
    }
    return Math.floor(Number(match[1]) * factor)
  })

/** Seconds as a number, or as text: `90s`, `30m`, `2h`. */
export const Duration = z
  .union([z.number().nonnegative(), z.string()])
  .transform((value, context): number => {
    if (typeof value === 'number') return value
    const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$/i.exec(value)
    if (match === null) {
      context.addIssue({ code: 'custom', message: 'expected a time such as 90s, 30m or 2h' })
      return z.NEVER
    }
    const factor = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 }[(match[2] ?? 's').toLowerCase()]
    return Number(match[1]) * (factor ?? 1)
  })

export const Effects = z.enum(['redo', 'keep'])
export const EngineChoice = z.enum(['auto', 'fork', 'process', 'vm'])
export const LogLevelName = z.enum(['debug', 'info', 'warn', 'error'])

/** Settings that hold for one command; a project's thaw.toml may set them. */
export const RunSettings = z.strictObject({
  effects: Effects.default('redo').describe(
    'What happens to network traffic, child processes and writes elsewhere that a resume would skip: done again, or kept as they were.',
  ),
  engine: EngineChoice.default('auto').describe('What stops, copies and restarts the program.'),
  quiet: z.boolean().default(false).describe('No summary line at the end.'),
  launchers: z
    .boolean()
    .default(true)
    .describe('Python programs below other commands (make, sh, uv) are runs of their own.'),
  min_gap: Duration.default(0.02).describe('Least seconds of work between two checkpoints.'),
  factor: z
    .number()
    .positive()
    .default(10)
    .describe('Work between two checkpoints, at least this many times what a checkpoint costs.'),
  checkpoints: z.number().int().positive().default(64).describe('Most checkpoints kept for one run.'),
  output: Size.default(2e9).describe(
    'Most bytes of output recorded for one branch; what is beyond passes through.',
  ),
})

const RANGE = 'it has to be from 1 to 20'

/** Settings of the daemon, read when it starts; only the user's file and the environment may set them. */
export const DaemonSettings = z.strictObject({
  idle: Duration.default(1800).describe(
    'Seconds after which the daemon ends when nothing runs and nothing is kept. 0: never.',
  ),
  keep: Duration.default(3600).describe(
    'Seconds that parked checkpoints of a run nobody uses any more are kept.',
  ),
  memory: z
    .union([z.literal('auto'), Size])
    .default('auto')
    .describe('Memory for parked checkpoints, in bytes; auto: a quarter of what is free when it is needed.'),
  disk: Size.default(10e9).describe(
    'Most bytes of disk for what runs leave: recorded output, kept files, checkpoints. What was not used for longest goes first; a run with a checkpoint that was asked for stays.',
  ),
  pool_size: z
    .number()
    .int()
    .min(1, RANGE)
    .max(20, RANGE)
    .default(5)
    .describe('Members of a pool that is created without a size.'),
  pool_limit: z.number().int().min(1).max(10_000).default(20).describe('Most members of one pool.'),
  snapshot_refresh_secs: z
    .number()
    .min(60, 'at least 60 seconds')
    .default(3600)
    .describe('Age at which the members of a pool are replaced.'),
  snapshot_path: z
    .union([z.literal('auto'), z.string().regex(/^\/[^\0]*$/, 'an absolute path, or auto')])
    .default('auto')
    .describe('Directory in which snapshots lie; auto: with everything else that is kept.'),
  snapshot_wait: Duration.default(60).describe(
    'Most seconds that a new instance waits for a snapshot that is being made.',
  ),
  snapshot_auto: z
    .number()
    .int()
    .nonnegative()
    .default(2)
    .describe('Which use of an image has a snapshot made of it by itself. 0: none.'),
  upload_limit: Size.default(16e9).describe('Most bytes of an archive that is sent to become an image.'),
  snapshot_count: z.number().int().positive().default(32).describe('Most snapshots that are kept.'),
  snapshot_disk: Size.default(20e9).describe('Most bytes of disk for snapshots.'),
  snapshot_days: z
    .number()
    .positive()
    .default(30)
    .describe('Days without use after which a snapshot that was made by itself is removed.'),
  snapshot_pack: Duration.default(86_400).describe(
    'Seconds after which a snapshot that nobody uses is compressed; its next use takes longer.',
  ),
  pack: Duration.default(300).describe(
    'Seconds after which a checkpoint on disk that nobody uses is compressed, its pages shared with others.',
  ),
  unpacked: Size.default(4e9).describe(
    'Most bytes of checkpoints on disk that are not compressed; what was not used for longest is compressed first.',
  ),
  log: LogLevelName.default('info').describe('Least level written to the daemon log.'),
})

export const Settings = z.strictObject({ ...RunSettings.shape, ...DaemonSettings.shape })

export type RunSettings = z.output<typeof RunSettings>
export type DaemonSettings = z.output<typeof DaemonSettings>
export type Settings = z.output<typeof Settings>
export type SettingName = keyof Settings

/** Where a setting's value came from. */
export const SettingSource = z.enum(['flag', 'environment', 'project', 'user', 'default'])
export type SettingSource = z.infer<typeof SettingSource>
