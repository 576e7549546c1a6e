/**
 * What Firecracker answers over its API socket, as its published description has it. Newer versions may say more than
 * this; what is not used is not looked at.
 */
import { z } from 'zod'

/** Body of every answer that is a refusal. */
export const FirecrackerFault = z.object({ fault_message: z.string() })

/** GET / */
export const FirecrackerInstance = z.object({
  id: z.string(),
  state: z.enum(['Not started', 'Running', 'Paused']),
  vmm_version: z.string(),
})
export type FirecrackerInstance = z.infer<typeof FirecrackerInstance>

/** GET /version */
export const FirecrackerVersion = z.object({ firecracker_version: z.string().min(1) })
