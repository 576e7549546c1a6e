import { z } from 'zod'
import { repairClientControls, repairServerControls } from './repair.js'
import { BranchNode, ProgramExit, RunReport, SignalName, TerminalSize } from './run.js'

export const AttachFrom = z.enum(['now', 'start'])
export type AttachFrom = z.infer<typeof AttachFrom>

/** `start`: what the branch has printed so far comes first. */
export const AttachRequest = z.strictObject({ from: AttachFrom.default('now') })
export type AttachRequestInput = z.input<typeof AttachRequest>

/**
 * Control messages of a run's stream: JSON in frames of type 0 (see frames.ts). The client's first is the
 * RunRequest (POST /v1/runs/stream) or AttachRequest (POST /v1/branches/ID/stream) itself.
 */
export const ClientControl = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('signal'), name: SignalName }),
  z.strictObject({ t: z.literal('resize'), ...TerminalSize.shape }),
  z.strictObject({ t: z.literal('stdin-end') }),
  /** Whoever read this stream of the caller has gone; the program is to see a broken pipe. */
  z.strictObject({ t: z.literal('closed'), stream: z.enum(['stdout', 'stderr']) }),
  ...repairClientControls,
])
export type ClientControl = z.infer<typeof ClientControl>

export const ServerControl = z.discriminatedUnion('t', [
  z.object({
    t: z.literal('started'),
    run: z.string(),
    branch: z.string(),
    quiet: z.boolean(),
    /** What the user should know before anything else, each a line of thaw's own words. */
    notices: z.array(z.string()),
  }),
  /** So many more bytes of stdin may be sent. */
  z.object({ t: z.literal('stdin'), bytes: z.number().int().positive() }),
  z.object({ t: z.literal('done'), report: RunReport, summary: z.string() }),
  /** The end of an attached stream: the branch, as it ended. */
  z.object({ t: z.literal('ended'), branch: BranchNode }),
  /** The end of a command in an instance. */
  z.object({ t: z.literal('exited'), exit: ProgramExit }),
  z.object({
    t: z.literal('error'),
    error: z.object({
      code: z.string(),
      message: z.string(),
      hint: z.string(),
      details: z.record(z.string(), z.unknown()).optional(),
    }),
  }),
  ...repairServerControls,
])
export type ServerControl = z.infer<typeof ServerControl>
