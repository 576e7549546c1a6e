/** What the kernel grants a process beside its rights: what `ulimit`, `nice` and `taskset` set. */
import { z } from 'zod'

/** A resource limit's soft or hard value in the resource's own unit, in decimal, since it may exceed what a double holds. */
const bound = z.string().regex(/^(unlimited|\d{1,20})$/)

export const Allowance = z.strictObject({
  /** Soft and hard limits, by the number of the resource (RLIMIT_CPU is 0). */
  limits: z.array(z.tuple([bound, bound])).max(32),
  nice: z.number().int().min(-20).max(19),
  /** Processors it may run on, as the kernel lists them: `0-3,8`. */
  cpus: z.string().regex(/^\d+(-\d+)?(,\d+(-\d+)?)*$/),
})
export type Allowance = z.infer<typeof Allowance>
