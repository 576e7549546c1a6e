/** Apps: programs with a port that are kept warm behind a name, and reached through the daemon. */
import { z } from 'zod'

const AbsolutePath = z
  .string()
  .regex(/^\/[^\0]*$/, 'an absolute path')
  .max(4096)

/** What is started, and where it answers. */
export const AppSource = z.strictObject({
  command: z
    .array(z.string().regex(/^[^\0]*$/))
    .min(1)
    .max(1000)
    .describe('Program and arguments. PORT in its environment tells the port.'),
  port: z.number().int().min(1).max(65535).describe('TCP port that it listens on.'),
  cwd: AbsolutePath.describe(
    'Directory in which it runs. After an edit of source files below it, it is started anew.',
  ),
  ready: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, 'a path of a URL')
    .max(2000)
    .nullable()
    .default(null)
    .describe(
      'Path that answers with less than 400 when it is ready; null: it is when the port is listened on.',
    ),
  network: z
    .enum(['private', 'private+out', 'host'])
    .default('private')
    .describe(
      "Its network: its own, in which nothing else is; the same with a way out; or the machine's, where its port is taken.",
    ),
})
export type AppSource = z.output<typeof AppSource>

/** What a request of an app says to thaw; all else is for the app. */
export const AppRequestHeaders = z.object({
  'thaw-timeout': z.coerce
    .number()
    .positive()
    .max(1e6)
    .optional()
    .describe('Seconds that it may wait for room, and take until its answer begins.'),
})
