/** Work that goes on after its request was answered. */
import { z } from 'zod'
import { ErrorAnswer, PageQuery } from './api.js'
import { ResumeRequest, RunReport, RunRequest } from './run.js'

const Stdin = z.string().nullable().default(null).describe('What the program reads on stdin; null: nothing.')

/** Starts a run without following it: POST /v1/runs. */
export const StartRun = z
  .strictObject({
    ...RunRequest.pick({ command: true, cwd: true }).shape,
    env: RunRequest.shape.env
      .nullable()
      .default(null)
      .describe('The whole environment of the program; null: that of the daemon.'),
    stdin: Stdin,
    ...RunRequest.pick({
      fresh: true,
      engine: true,
      effects: true,
      umask: true,
      break: true,
      every: true,
      break_output: true,
      break_listen: true,
      net: true,
      tcp: true,
    }).shape,
  })
  .meta({ id: 'StartRun' })
export type StartRun = z.output<typeof StartRun>
export type StartRunInput = z.input<typeof StartRun>

/** Goes on from a checkpoint without following it: POST /v1/checkpoints/ID/resume. */
export const ResumeCheckpoint = z
  .strictObject({
    ...ResumeRequest.pick({
      count: true,
      mode: true,
      force: true,
      break: true,
      break_output: true,
      break_listen: true,
      every: true,
    }).shape,
    stdin: Stdin,
  })
  .meta({ id: 'ResumeCheckpoint' })
export type ResumeCheckpoint = z.output<typeof ResumeCheckpoint>
export type ResumeCheckpointInput = z.input<typeof ResumeCheckpoint>

export const OperationState = z.enum(['running', 'done', 'failed', 'cancelled'])

export const Operation = z
  .object({
    id: z.string(),
    kind: z.enum(['run', 'resume']),
    state: OperationState.describe('`done` says nothing of the exit code, which is in the report.'),
    run: z.string().nullable(),
    branches: z.array(z.string()).describe('Those that it began, or whose record it replays.'),
    started_at: z.string(),
    ended_at: z.string().nullable(),
    summary: z.string().nullable().describe("What came of it, in thaw's words."),
    report: RunReport.nullable(),
    error: ErrorAnswer.nullable().describe('Why it failed.'),
  })
  .meta({ id: 'Operation' })
export type Operation = z.infer<typeof Operation>

export const OperationQuery = PageQuery.extend({ state: OperationState.optional() })
export const OperationList = z.object({
  operations: z.array(Operation),
  next: z.string().nullable(),
})
export type OperationList = z.infer<typeof OperationList>

/** The data of server-sent events of an operation; `t` is also the name of the event. */
export const OperationEvent = z.discriminatedUnion('t', [
  z.object({ t: z.literal('started'), run: z.string(), branch: z.string() }),
  z.object({ t: z.literal('stdout'), branch: z.string(), text: z.string() }),
  z.object({ t: z.literal('stderr'), branch: z.string(), text: z.string() }),
  z.object({ t: z.literal('end'), operation: Operation }),
])
export type OperationEvent = z.infer<typeof OperationEvent>
