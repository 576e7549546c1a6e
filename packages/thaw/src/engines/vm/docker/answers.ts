/** What is read of Docker's answers. */
import { z } from 'zod'

export const DockerSaid = z.object({ message: z.string() })
export const Made = z.object({ Id: z.string() })
export const Nothing = z.unknown()
/** Of a container that has ended. */
export const Waited = z.object({
  StatusCode: z.number().int(),
  Error: z.object({ Message: z.string() }).nullish(),
})
/** Of a program beside a container's own. */
export const Entered = z.object({ ExitCode: z.number().int().nullable(), Pid: z.number().int() })
/** One line of what an import tells. */
export const Progress = z.object({ status: z.string().optional(), error: z.string().optional() })
/** Header of an archive: what its path is. */
export const PathStat = z.object({
  size: z.number(),
  /** Go's FileMode: permission bits, and what it is in the high ones. */
  mode: z.number(),
  linkTarget: z.string(),
})
