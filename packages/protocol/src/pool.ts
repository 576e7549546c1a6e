/** Pools: copies of snapshots that are restored, stand still, and are there to be taken. */
import { z } from 'zod'
import { Duration } from './settings.js'
import { SnapshotName } from './snapshot.js'

/** Most members of a pool, unless the setting `pool_limit` says otherwise. */
export const POOL_LIMIT = 20
export const LEAST_REFRESH = 60

const Size = z.number().int().min(1).max(10_000)
const Refresh = Duration.pipe(z.number().min(LEAST_REFRESH))

/** POST /v1/pools. */
export const PoolRequest = z.strictObject({
  name: SnapshotName.nullable().default(null).describe('Null: one is made up.'),
  snapshots: z
    .array(z.string().min(1).max(200))
    .min(1)
    .max(64)
    .describe('Which it is filled from, one after the other. All of one image.'),
  size: Size.nullable().default(null).describe('Members; null: the setting pool_size.'),
  refresh_seconds: Refresh.nullable()
    .default(null)
    .describe('Age at which a member is replaced; null: the setting.'),
})
export type PoolRequest = z.output<typeof PoolRequest>
export type PoolRequestInput = z.input<typeof PoolRequest>

export const PoolResize = z.strictObject({ size: Size })

export const Pool = z.object({
  id: z.string(),
  name: z.string(),
  snapshots: z.array(z.string()),
  image: z.string(),
  size: z.number().int().describe('Members that it is to have.'),
  ready: z.number().int().describe('Members that can be taken.'),
  filling: z.boolean(),
  drained: z.boolean().describe('Gives nothing and is not filled, until it is resized.'),
  refresh_seconds: z.number(),
  oldest_seconds: z.number().nullable().describe('Age of the oldest member.'),
  newest_seconds: z.number().nullable(),
  hits: z.number().int().describe('Takes that found a member.'),
  misses: z.number().int(),
  take_ms: z
    .object({ count: z.number().int(), p50: z.number(), p95: z.number(), p99: z.number() })
    .nullable()
    .describe('Milliseconds of the latest takes until the program went on.'),
  memory_bytes: z.number().int().describe('Proportional set size of all members.'),
  reason: z.string().nullable().describe('Why it is not full.'),
  created_at: z.string(),
})
export type Pool = z.infer<typeof Pool>

export const PoolList = z.object({ pools: z.array(Pool) })
