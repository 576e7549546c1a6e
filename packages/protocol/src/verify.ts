import { z } from 'zod'
import { ProgramExit } from './run.js'

export const VerifyRequest = z.strictObject({
  redo_effects: z
    .boolean()
    .default(false)
    .describe('Run it cold although network traffic, children and writes elsewhere then happen again.'),
})
export type VerifyRequest = z.output<typeof VerifyRequest>

/** `undetermined`: two cold runs differ from each other in the same places. */
export const Verdict = z.enum(['equal', 'different', 'undetermined'])
export type Verdict = z.infer<typeof Verdict>

export const Difference = z.object({
  what: z.enum(['stdout', 'stderr', 'exit', 'file']),
  path: z.string().nullable().describe('Of a file, relative to the project.'),
  own: z.boolean().describe('The program itself does it so: two cold runs differ there too.'),
  diff: z.string().describe('From what was recorded to what the cold run did.'),
})
export type Difference = z.infer<typeof Difference>

/** What came of comparing a recorded run with a cold one. Times are seconds. */
export const VerifyReport = z
  .object({
    run: z.string(),
    branch: z.string(),
    verdict: Verdict,
    differences: z.array(Difference),
    files: z.number().int().describe('How many files of the project were compared.'),
    exit: z.object({ recorded: ProgramExit, cold: ProgramExit }),
    seconds: z.object({
      recorded: z.number().describe('What the run took under thaw.'),
      cold: z.number(),
      again: z.number().nullable().describe('The second cold run, which only a difference calls for.'),
    }),
    same_path: z
      .boolean()
      .describe('Whether the copy stood at the place of the project; else paths were translated.'),
    notes: z.array(z.string()).describe('What could not be compared, and why.'),
    bundle: z.string().nullable().describe('The directory with what reproduces a difference.'),
  })
  .meta({ id: 'VerifyReport' })
export type VerifyReport = z.infer<typeof VerifyReport>
