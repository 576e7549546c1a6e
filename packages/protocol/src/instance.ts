/** Instances: what a caller gets from an image or a snapshot. */
import { z } from 'zod'
import { ImageName, KeptLimits, Limits, Port, Readiness, User } from './image.js'
import { ProgramExit, SignalName, TerminalSize } from './run.js'
import { Duration } from './settings.js'

export const InstanceName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/, 'letters, digits and dashes, at most 63: it is its host name too')

/**
 * creating -> ready <-> paused; from each of them to stopped (ended, or was stopped) or failed (never became ready, or
 * was lost with its daemon). Whatever is deleted is `deleted` in the answer, and then forgotten.
 */
export const InstanceState = z.enum(['creating', 'ready', 'paused', 'stopped', 'failed', 'deleted'])
export type InstanceState = z.infer<typeof InstanceState>

/** `pool`: taken from a pool; `warm`: restored from a checkpoint; `cold`: started. */
export const BootMethod = z.enum(['pool', 'warm', 'cold'])
export type BootMethod = z.infer<typeof BootMethod>

export const PublishedPort = z.object({
  port: Port.describe('Inside.'),
  host: z.number().int().describe('On 127.0.0.1 of this machine.'),
})
export type PublishedPort = z.infer<typeof PublishedPort>

export const InjectedFile = z.strictObject({
  path: z.string().startsWith('/').max(4096).describe('Where it goes, inside.'),
  content: z.string().max(8_000_000).describe('In the given encoding.'),
  encoding: z.enum(['utf8', 'base64']).default('utf8'),
  mode: z.number().int().min(0).max(0o7777).default(0o644),
})

const Life = {
  ttl: Duration.pipe(z.number().positive()).nullable().default(null).describe('Seconds until it is deleted.'),
  idle_ttl: Duration.pipe(z.number().positive())
    .nullable()
    .default(null)
    .describe(
      'Seconds without an exec, a file, a connection to a published port or output after which it is deleted.',
    ),
}

/** POST /v1/instances. */
export const InstanceRequest = z.strictObject({
  image: ImageName.describe('Name or id of an image.'),
  container: ImageName.nullable()
    .default(null)
    .describe(
      'Name or id of an image that the Docker engine of this machine is to run. Environment, user, files, ports, limits and readiness are then the container’s. Null: the instance is of its image alone.',
    ),
  name: InstanceName.nullable().default(null).describe('Null: one is made up.'),
  env: z
    .record(z.string().regex(/^[^=\0]+$/), z.string().regex(/^[^\0]*$/))
    .default({})
    .describe('Over the image’s.'),
  network: z
    .enum(['private', 'private+out', 'host'])
    .default('private')
    .describe('A network of its own, that with a way out, or the machine’s.'),
  ports: z
    .array(z.strictObject({ port: Port, host: z.number().int().min(0).max(65_535).default(0) }))
    .max(64)
    .nullable()
    .default(null)
    .describe('What is published on 127.0.0.1; host 0: a free port. Null: the ports of the image.'),
  files: z.array(InjectedFile).max(256).default([]).describe('Put in place before it starts.'),
  user: User.nullable().default(null).describe('As whom it runs; null: as the image says.'),
  limits: Limits.nullable().default(null).describe('Each that is null: that of the image.'),
  readiness: Readiness.nullable().default(null).describe('Null: that of the image.'),
  ...Life,
})
export type InstanceRequest = z.output<typeof InstanceRequest>
export type InstanceRequestInput = z.input<typeof InstanceRequest>

export const Instance = z.object({
  id: z.string(),
  name: z.string(),
  image: z.string().describe('Its name.'),
  container: z
    .string()
    .nullable()
    .describe('Name of the image that the Docker engine of this machine runs; null: there is no container.'),
  state: InstanceState,
  reason: z.string().nullable().describe('Why it is stopped or failed.'),
  boot_method: BootMethod,
  from: z.string().nullable().describe('The checkpoint or snapshot it was restored from.'),
  boot_reason: z.string().nullable().describe('Why it was not made in a faster way.'),
  saved_seconds: z.number().nullable().describe('How much sooner it was ready than by a start.'),
  network: z.enum(['private', 'private+out', 'host']),
  ports: z.array(PublishedPort),
  pid: z.number().int().nullable(),
  limits: KeptLimits,
  notes: z.array(z.string()).describe('What could not be given as asked, and why.'),
  exit: ProgramExit.nullable(),
  created_at: z.string().describe('ISO 8601.'),
  ready_at: z.string().nullable(),
  ended_at: z.string().nullable(),
  expires_at: z.string().nullable(),
  boot_seconds: z.number().nullable().describe('From the request until it was ready.'),
})
export type Instance = z.infer<typeof Instance>

export const InstanceList = z.object({ instances: z.array(Instance) })

export const InstanceLogsQuery = z.object({
  stream: z.enum(['stdout', 'stderr', 'both']).default('both'),
  follow: z.stringbool().default(false).describe('Go on until it ends.'),
  tail: z.coerce.number().int().min(0).optional().describe('Only so many of the last bytes.'),
})

export const InstanceStats = z.object({
  cpu_seconds: z.number(),
  memory_bytes: z.number().int(),
  pids: z.number().int().describe('Processes.'),
  threads: z.number().int(),
  source: z.enum(['cgroup', 'proc']).describe('Who counted.'),
})
export type InstanceStats = z.infer<typeof InstanceStats>

/** The first message of POST /v1/instances/ID/exec/stream, or the body of POST /v1/instances/ID/exec. */
export const ExecRequest = z.strictObject({
  command: z
    .array(z.string().regex(/^[^\0]*$/))
    .min(1)
    .max(4096),
  env: z.record(z.string().regex(/^[^=\0]+$/), z.string().regex(/^[^\0]*$/)).default({}),
  cwd: z
    .string()
    .startsWith('/')
    .max(4096)
    .nullable()
    .default(null)
    .describe('Null: where the instance started.'),
  user: z.string().max(200).nullable().default(null).describe('Null: as the instance.'),
  terminal: TerminalSize.nullable().default(null),
  stdin: z.enum(['null', 'stream']).default('null'),
  joined: z.boolean().default(false),
})
export type ExecRequest = z.output<typeof ExecRequest>
export type ExecRequestInput = z.input<typeof ExecRequest>

/** What a terminal without a command runs: bash where there is one, else sh. */
export const SHELL = ['sh', '-c', 'exec "$(command -v bash || echo sh)" -i'] as const

/** What came of a command run without a stream. */
export const ExecResult = z.object({
  exit: ProgramExit,
  stdout: z.string().describe('The first part of it, as UTF-8.'),
  stderr: z.string(),
  truncated: z.boolean(),
})
export type ExecResult = z.infer<typeof ExecResult>

const tcp = z
  .enum(['keep', 'close'])
  .nullable()
  .default(null)
  .describe('What becomes of connections that leave it; null: there must be none.')

export const InstanceCheckpointRequest = z.strictObject({
  name: InstanceName.nullable().default(null),
  tcp,
})
export type InstanceCheckpointRequest = z.output<typeof InstanceCheckpointRequest>

export const InstanceCheckpoint = z.object({
  id: z.string(),
  instance: z.string(),
  name: z.string().nullable(),
  image: z.string(),
  bytes: z.number().int(),
  seconds: z.number().describe('How long it took to make.'),
  temporary: z.boolean().describe('Made for a fork: it goes with the last of the clones.'),
  created_at: z.string(),
})
export type InstanceCheckpoint = z.infer<typeof InstanceCheckpoint>

export const InstanceCheckpointList = z.object({ checkpoints: z.array(InstanceCheckpoint) })

/** POST /v1/instances/ID/fork: clones of an instance as it is now, or as it was at a checkpoint. */
export const ForkRequest = z.strictObject({
  count: z.number().int().min(1).max(256).default(1),
  checkpoint: z.string().min(1).max(200).nullable().default(null).describe('Null: one is made for this.'),
  names: z.array(InstanceName).max(256).default([]).describe('As many as there are clones, or none.'),
  tcp,
  ...Life,
})
export type ForkRequest = z.output<typeof ForkRequest>
export type ForkRequestInput = z.input<typeof ForkRequest>

export const StopRequest = z.strictObject({
  signal: SignalName.default('SIGTERM'),
  grace: Duration.pipe(z.number().min(0).max(600))
    .default(10)
    .describe('Seconds between the signal and the end of what is left.'),
})
export type StopRequest = z.output<typeof StopRequest>

export const InstanceFileQuery = z.object({ path: z.string().startsWith('/').max(4096) })
export const InstancePutQuery = InstanceFileQuery.extend({
  mode: z.coerce
    .number()
    .int()
    .min(0)
    .max(0o7777)
    .default(0o644)
    .describe('Permission bits, as a decimal number.'),
})

/** A name, an id, or the beginning of an id. */
export const NameParams = z.object({
  id: z
    .string()
    .regex(/^[^\0]+$/)
    .max(300),
})
