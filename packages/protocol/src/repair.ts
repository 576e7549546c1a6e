/** Repairs: what a caller asks for, what a repairer sees and answers, what came of it. docs/repair.md explains the fields. */
import { z } from 'zod'
import { ProgramExit, RunReport, RunRequest } from './run.js'
import { Duration } from './settings.js'
import { VerifyReport } from './verify.js'

const count = z.number().int().nonnegative()

/** Where a bound is reached, the repair ends without success. Times in seconds. */
export const RepairBounds = z.strictObject({
  rounds: z.number().int().min(1).max(1000).default(5).describe('How often the repairer is asked.'),
  time: Duration.pipe(z.number().min(1)).default(3600).describe('For everything.'),
  answer: Duration.pipe(z.number().min(0.1)).default(300).describe('For one answer of the repairer.'),
  run: Duration.pipe(z.number().min(0.1))
    .nullable()
    .default(null)
    .describe('For one attempt of the program; beyond it, it hangs.'),
  lines: z
    .number()
    .int()
    .min(1)
    .default(400)
    .describe('Lines added and removed, all accepted edits together.'),
  tokens: z.number().int().min(1).default(500_000).describe('Of a model: read and written.'),
  dollars: z.number().positive().nullable().default(null).describe('Of a model; needs prices.'),
})
export type RepairBounds = z.output<typeof RepairBounds>

const endpoint = {
  /** Null: what OPENAI_MODEL or ANTHROPIC_MODEL says, else thaw's default. */
  model: z.string().min(1).max(200).nullable().default(null),
  url: z
    .url({ protocol: /^https?$/ })
    .nullable()
    .default(null),
  /** Dollars for a million tokens: read, written. */
  prices: z.tuple([z.number().nonnegative(), z.number().nonnegative()]).nullable().default(null),
}

/** Who edits. Keys of models come from the run's environment: OPENAI_API_KEY, ANTHROPIC_API_KEY. */
export const Repairer = z.discriminatedUnion('kind', [
  /** A line for /bin/sh, in a private copy of the project. */
  z.strictObject({ kind: z.literal('command'), command: z.string().min(1) }),
  z.strictObject({ kind: z.literal('openai'), ...endpoint }),
  z.strictObject({ kind: z.literal('anthropic'), ...endpoint }),
  /** Whoever holds the stream: asked by `question`, answers with `answer`. */
  z.strictObject({ kind: z.literal('caller') }),
  z.strictObject({ kind: z.literal('none') }),
])
export type Repairer = z.output<typeof Repairer>

/** The first message of POST /v1/repairs/stream. */
export const RepairRequest = z.strictObject({
  run: RunRequest,
  repairer: Repairer,
  /** `exact`: as a run from the start; `hot`: from the moment before the failing call, its state kept. */
  mode: z.enum(['exact', 'hot']).default('exact'),
  candidates: z.number().int().min(1).max(16).default(1).describe('Edits tried side by side in a round.'),
  check: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe('A line for /bin/sh that must end with 0 as well.'),
  stderr: z
    .string()
    .min(1)
    .max(1000)
    .nullable()
    .default(null)
    .describe('A regular expression; what matches on stderr is a failure.'),
  at: z.array(z.string()).max(64).default([]).describe('Functions before whose calls checkpoints are taken.'),
  max_saves: z.number().int().min(1).nullable().default(null).describe('Most checkpoints; null: the budget.'),
  verify: z.boolean().default(false).describe('Compare the repaired program with a cold run.'),
  keep: z.boolean().default(false).describe('Accepted edits stay although the program did not succeed.'),
  bounds: RepairBounds.prefault({}),
})
export type RepairRequest = z.output<typeof RepairRequest>
export type RepairRequestInput = z.input<typeof RepairRequest>

export const FailureKind = z.enum(['exception', 'exit', 'signal', 'test', 'hang', 'check', 'output'])
export type FailureKind = z.infer<typeof FailureKind>

export const FailureFrame = z.object({
  file: z.string().describe('Relative to the project where it lies inside.'),
  line: count,
  function: z.string(),
  project: z.boolean(),
  source: z.array(z.object({ line: count, text: z.string() })).describe('The lines around.'),
  locals: z.record(z.string(), z.string()).describe('As Python writes them, shortened; secrets masked.'),
})
export type FailureFrame = z.infer<typeof FailureFrame>

const FailureException = z.object({ type: z.string(), message: z.string(), frames: z.array(FailureFrame) })

export const Failure = z.object({
  kind: FailureKind,
  summary: z.string().describe('One line.'),
  exit: ProgramExit.nullable(),
  exceptions: z
    .array(FailureException)
    .describe('The one that ended the program, then what it came from; the outermost frame first.'),
  tests: z
    .array(
      z.object({
        id: z.string(),
        message: z.string(),
        exceptions: z
          .array(FailureException)
          .describe('As above, where pytest or unittest ran it; none for other runners.'),
      }),
    )
    .describe('That failed.'),
  stack: z.string().nullable().describe('Of a crash by signal, or of a hang: what was found.'),
})
export type Failure = z.infer<typeof Failure>

export const TriedEdit = z.object({
  round: count,
  candidate: count,
  diff: z.string(),
  outcome: z
    .enum(['refused', 'taken back', 'accepted', 'succeeded', 'not needed'])
    .describe('`accepted`: it stays, and another failure came after it.'),
  detail: z.string().describe('Why it was refused, or what came of it.'),
})
export type TriedEdit = z.infer<typeof TriedEdit>

/** What a repairer sees. */
export const RepairBundle = z.object({
  version: z.literal(1),
  repair: z.string(),
  round: count,
  candidate: count.describe('From 1; several are asked at once where candidates are wanted.'),
  command: z.array(z.string()),
  cwd: z.string(),
  project: z.string().describe('Paths in answers are relative to this.'),
  failure: Failure,
  output: z.object({ stdout: z.string(), stderr: z.string() }).describe('The end of what it printed.'),
  input: z.object({
    stdin: z.string().nullable().describe('The end of what it was sent.'),
    files: z.array(z.object({ path: z.string(), bytes: count })).describe('What it read last.'),
  }),
  files: z.array(z.object({ path: z.string(), text: z.string() })).describe('Project files of the failure.'),
  diff: z.string().nullable().describe('What is not committed, where git knows.'),
  checkpoints: z.array(
    z.object({
      id: z.string(),
      before: z.string(),
      at_seconds: z.number(),
      cost_seconds: z.number().describe('Work that is done again from there to the failure.'),
    }),
  ),
  frozen: z
    .string()
    .nullable()
    .describe('A checkpoint at the failure: resumed, it is pdb on the frames as they stood.'),
  tried: z.array(TriedEdit),
  how_to_answer: z.string(),
})
export type RepairBundle = z.infer<typeof RepairBundle>

export const RepairOutcome = z.enum(['succeeded', 'repaired', 'failed'])

export const RepairAttempt = z.object({
  report: RunReport.describe('Of the run.'),
  failure: Failure.nullable(),
  seconds: z.number(),
})

/** What `--report FILE` writes. */
export const RepairReport = z.object({
  id: z.string(),
  command: z.array(z.string()),
  project: z.string(),
  run: z.string().nullable(),
  outcome: RepairOutcome.describe('`succeeded`: there was nothing to repair.'),
  reason: z.string().nullable().describe('Why there was no success.'),
  exit: ProgramExit.nullable().describe('Of the last attempt.'),
  exit_code: z.number().int().describe('Of `thaw repair`.'),
  attempts: z.array(RepairAttempt),
  tried: z.array(TriedEdit),
  files: z.array(z.string()).describe('Changed by the edits that stay.'),
  patch: z.string().nullable().describe('File with the edits that stay, as a unified diff.'),
  verify: VerifyReport.nullable(),
  tokens: z.object({ read: count, written: count }),
  dollars: z.number().nullable(),
  seconds: z.object({ total: z.number(), program: z.number(), repairer: z.number() }),
})
export type RepairReport = z.infer<typeof RepairReport>

export const RepairState = z.enum(['open', 'ended', 'interrupted', 'undone'])

export const RepairSummary = z.object({
  id: z.string(),
  command: z.array(z.string()),
  project: z.string(),
  state: RepairState,
  created_at: z.string().describe('ISO 8601.'),
  outcome: RepairOutcome.nullable(),
  files: z.array(z.string()).describe('Changed by the edits that stay.'),
  patch: z.string().nullable(),
})
export type RepairSummary = z.infer<typeof RepairSummary>

export const RepairList = z.object({ repairs: z.array(RepairSummary) })

export const RepairUndone = z.object({ id: z.string(), files: z.array(z.string()) })
export type RepairUndone = z.infer<typeof RepairUndone>

/** What the server of a repair says besides what the server of a run says. */
export const repairServerControls = [
  /** A line of thaw's own words. */
  z.object({ t: z.literal('note'), text: z.string(), detail: z.boolean() }),
  /** The caller is the repairer: it edits in the directory, or answers with a diff. */
  z.object({ t: z.literal('question'), bundle: RepairBundle, directory: z.string() }),
  z.object({ t: z.literal('repaired'), report: RepairReport, summary: z.string() }),
] as const

/** The answer to `question`; `give_up`: there is none, and the repair ends. */
export const repairClientControls = [
  z.strictObject({
    t: z.literal('answer'),
    diff: z.string().nullable().default(null),
    give_up: z.boolean().default(false),
  }),
] as const
