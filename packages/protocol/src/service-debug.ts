/** Calls of services that stand at a breakpoint, and who attaches to them. */
import { z } from 'zod'

export const ServiceStop = z.object({
  call: z.number().int().describe('Which call, as `thaw debug --call` wants it.'),
  fn: z.string().describe('What was called.'),
  file: z.string(),
  line: z.number().int(),
  function: z.string().describe('Where it stands.'),
  attached: z.boolean(),
  waited_seconds: z.number().describe('Since it stopped.'),
  uncopied: z
    .string()
    .nullable()
    .describe('Why there is no copy from which the call could go on again; null: there is one.'),
})
export type ServiceStop = z.infer<typeof ServiceStop>

export const ServiceStopList = z.object({ stops: z.array(ServiceStop) })

/** The first message of a debugger. */
export const DebugRequest = z.strictObject({
  call: z.number().int().positive().nullable().default(null).describe('Null: the one that waits longest.'),
  how: z
    .enum(['pdb', 'dap', 'again'])
    .default('pdb')
    .describe(
      '`pdb`: a prompt, also of Node. `dap`: a port for an editor. `again`: the call that stopped last goes on once more from its breakpoint, with the code of now.',
    ),
  stdin: z.enum(['null', 'stream']).default('stream'),
})
export type DebugRequest = z.output<typeof DebugRequest>
export type DebugRequestInput = z.input<typeof DebugRequest>
