import { z } from 'zod'
import { Allowance } from './allowance.js'
import { Duration, Effects, EngineChoice, Size } from './settings.js'

export const TerminalSize = z.strictObject({
  rows: z.number().int().min(1).max(10_000),
  cols: z.number().int().min(1).max(10_000),
})

/** What a client asks for. Flags that were not given are null: thaw.toml and the environment then decide. */
export const RunRequest = z.strictObject({
  command: z.array(z.string()).min(1),
  cwd: z.string().startsWith('/'),
  env: z.record(z.string(), z.string()),
  fresh: z.boolean().default(false),
  engine: EngineChoice.nullable().default(null),
  effects: Effects.nullable().default(null),
  /** Give the program a terminal of this size. */
  terminal: TerminalSize.nullable().default(null),
  /** Whether anything can come on stdin. */
  stdin: z.enum(['null', 'stream']).default('null'),
  /** The caller's stdout and stderr are the same file: keep their order, everything arrives as stdout. */
  joined: z.boolean().default(false),
  umask: z.number().int().min(0).max(0o777).default(0o022),
  /** The caller's own; null: the daemon's. */
  allowance: Allowance.nullable().default(null),
  quiet: z.boolean().nullable().default(null),
  /** Where the program is to stop: `app.py:train`, `app.py:42`, `pkg.mod:Class.method`, each with `#N` for the Nth time. */
  break: z.array(z.string()).max(64).default([]),
  /** Seconds between checkpoints that are taken by time as well. */
  every: Duration.pipe(z.number().min(0.01).max(86_400)).nullable().default(null),
  /** Stop with a checkpoint when the program prints what this regular expression matches. */
  break_output: z.string().min(1).max(1000).nullable().default(null),
  /** Stop with a checkpoint when the program listens on this TCP port. */
  break_listen: z.number().int().min(1).max(65_535).nullable().default(null),
  /** Of a program in a sandbox: the machine's, a loopback of its own, or that with a way out. */
  net: z.enum(['host', 'private', 'private+out']).default('host'),
  /** What becomes of connections that leave the program when a checkpoint is taken; null: there is none then. */
  tcp: z.enum(['keep', 'close']).nullable().default(null),
  /** What comes on stdin is typed by a person: nothing of it is there before it is asked for. */
  typed: z.boolean().default(false),
  /** What its root file system is: an image by name or id, or a directory. The project stays where it is; null: the machine's. */
  image: z.string().min(1).nullable().default(null),
  /** Of the machine of an engine that has machines; null: 1 GiB. */
  memory: Size.pipe(
    z
      .number()
      .min(64 * 1024 ** 2, 'at least 64MiB')
      .max(1024 ** 4, 'at most 1TiB'),
  )
    .nullable()
    .default(null),
  /** Processors of it; null: one. */
  cpus: z.number().int().min(1).max(64).nullable().default(null),
  /** For a command below one that thaw runs: the token of that launch. */
  below: z.string().min(1).nullable().default(null),
})
export type RunRequest = z.output<typeof RunRequest>
export type RunRequestInput = z.input<typeof RunRequest>

/** How to go on from a checkpoint: the first message of POST /v1/checkpoints/ID/stream. */
export const ResumeRequest = z.strictObject({
  /** How many branches go on from it at once. */
  count: z.number().int().min(1).max(256).default(1),
  /** `exact`: refused when an edit reaches back before the checkpoint. `hot`: the state stays, the new code holds from here on. */
  mode: z.enum(['exact', 'hot']).default('exact'),
  /** Also where the machine differs from the one on which the checkpoint was made. */
  force: z.boolean().default(false),
  ...RunRequest.pick({
    terminal: true,
    stdin: true,
    joined: true,
    quiet: true,
    break: true,
    break_output: true,
    break_listen: true,
    every: true,
  }).shape,
})
export type ResumeRequest = z.output<typeof ResumeRequest>
export type ResumeRequestInput = z.input<typeof ResumeRequest>

export const ProgramExit = z.object({ code: z.number().int().nullable(), signal: z.string().nullable() })
export type ProgramExit = z.infer<typeof ProgramExit>

export const Place = z.object({
  unit: z.string().nullable().describe('The unit it comes before.'),
  file: z.string().nullable().describe('Path relative to the directory of the run, where it lies inside.'),
  line: z.number().int().nullable(),
})
export type Place = z.infer<typeof Place>

export const ChangeKind = z.enum(['body', 'added', 'removed', 'statement', 'input', 'env', 'package'])

export const Change = z.object({
  file: z.string(),
  unit: z.string().nullable(),
  kind: ChangeKind,
})
export type Change = z.infer<typeof Change>

export const Outcome = z.enum(['replayed', 'resumed', 'cold', 'stopped'])
export type Outcome = z.infer<typeof Outcome>

/** One of the branches that `thaw resume` began. */
export const ResumedBranch = z.object({
  id: z.string(),
  exit: ProgramExit.nullable().describe('Null when it stopped at a checkpoint.'),
  stdout: z.string().describe('File with what it printed from the checkpoint on.'),
  stderr: z.string(),
  stop: z.string().nullable().describe('The checkpoint at which it stopped.'),
})
export type ResumedBranch = z.infer<typeof ResumedBranch>

/** A Python program that a command which is not Python has started. */
export const BelowEntry = z.object({
  command: z.array(z.string()),
  run: z.string().nullable(),
  outcome: Outcome.nullable().describe('Null where it was not taken over and ran as it was.'),
  seconds: z.number().nullable(),
  reason: z.string().nullable(),
})
export type BelowEntry = z.infer<typeof BelowEntry>

/** What `--report FILE` writes. Times are seconds. */
export const RunReport = z
  .object({
    run: z.string(),
    outcome: Outcome,
    checkpoint: z
      .object({
        id: z.string(),
        before: z.string().nullable(),
        file: z.string().nullable(),
        line: z.number().int().nullable(),
        at_seconds: z.number(),
      })
      .nullable()
      .describe('Where the run was resumed from, null when cold; with outcome stopped: where it stopped.'),
    changed: z.array(Change),
    reason: z
      .string()
      .nullable()
      .describe('Why it was not resumed later, or why cold; null when nothing held it back.'),
    kept_effects: z.array(z.string()),
    engine: z.string(),
    seconds: z.object({
      total: z.number(),
      plan: z.number(),
      restore: z.number(),
      program: z.number(),
      cold_estimate: z.number().nullable(),
    }),
    exit: ProgramExit.nullable().describe('Null when the run was stopped at a checkpoint.'),
    branches: z.array(ResumedBranch).optional().describe('Of `thaw resume`: what each branch came to.'),
    below: z
      .array(BelowEntry)
      .optional()
      .describe('Python programs that the command, which is not Python itself, has started.'),
  })
  .meta({ id: 'RunReport' })
export type RunReport = z.infer<typeof RunReport>

export const RunState = z.enum(['live', 'ended', 'lost'])

export const RunSummary = z
  .object({
    id: z.string(),
    command: z.array(z.string()),
    cwd: z.string(),
    interpreter: z.string().nullable(),
    state: RunState,
    created_at: z.string().describe('ISO 8601.'),
    last_at: z.string().describe('When it was last run, ISO 8601.'),
    times_run: z.number().int(),
    outcome: Outcome.nullable().describe('Of the last time it was run.'),
    exit: ProgramExit.nullable(),
    checkpoints: z.number().int().describe('How many can be restored now.'),
    memory_bytes: z.number().int().describe('What its parked checkpoints hold of their own.'),
  })
  .meta({ id: 'RunSummary' })
export type RunSummary = z.infer<typeof RunSummary>

export const CheckpointState = z.enum(['parked', 'dropped', 'lost'])

/** `moment`: taken at a good moment; `stop`: the program stopped there; `mark`: the program asked for it; `asked`: a user did. */
export const CheckpointKind = z.enum(['moment', 'stop', 'mark', 'asked'])
export type CheckpointKind = z.infer<typeof CheckpointKind>

export const CheckpointNode = z
  .object({
    id: z.string(),
    run: z.string(),
    branch: z.string(),
    parent: z.string().nullable(),
    kind: CheckpointKind,
    name: z.string().nullable(),
    before: Place,
    at_seconds: z.number().describe('Work of the program before this point.'),
    memory_bytes: z.number().int().nullable(),
    state: CheckpointState,
    created_at: z.string(),
    not_covered: z
      .array(z.string())
      .describe('Files that the program had written and closed and that are not part of it.'),
  })
  .meta({ id: 'Checkpoint' })
export type CheckpointNode = z.infer<typeof CheckpointNode>

/** What made a branch: `thaw run`, or a `thaw resume` of either mode. */
export const BranchKind = z.enum(['run', 'exact', 'hot'])
export type BranchKind = z.infer<typeof BranchKind>

export const BranchNode = z
  .object({
    id: z.string(),
    run: z.string(),
    kind: BranchKind,
    from: z.string().nullable().describe('The checkpoint it was restored from; null when cold.'),
    state: RunState,
    pid: z.number().int().nullable(),
    started_at: z.string(),
    ended_at: z.string().nullable(),
    outcome: Outcome.nullable(),
    exit: ProgramExit.nullable(),
  })
  .meta({ id: 'Branch' })
export type BranchNode = z.infer<typeof BranchNode>

export const RunTree = z
  .object({
    run: RunSummary,
    branches: z.array(BranchNode),
    checkpoints: z.array(CheckpointNode),
    refusals: z
      .array(z.object({ branch: z.string(), at_seconds: z.number(), why: z.string() }))
      .describe('Where a checkpoint was due but not possible.'),
  })
  .meta({ id: 'RunTree' })
export type RunTree = z.infer<typeof RunTree>

/** What a run has to do with files. Paths are absolute. */
export const RunInputs = z
  .object({
    project: z.string(),
    used: z.array(z.string()).describe('Read or looked at; what lies in installed packages left out.'),
    listed: z.array(z.string()).describe('Directories whose entries were listed.'),
    written: z.array(z.string()),
    complete: z.boolean().describe('Whether these are all: nothing is known of what other programs do.'),
  })
  .meta({ id: 'RunInputs' })
export type RunInputs = z.infer<typeof RunInputs>

export const SignalName = z.enum(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGKILL'])
export type SignalName = z.infer<typeof SignalName>
