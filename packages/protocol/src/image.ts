/** Images: how something starts. */
import { z } from 'zod'
import { Duration, Size } from './settings.js'

/** As in `nginx`, `nginx:alpine`, `registry.example/team/app:1.2`. */
export const ImageName = z
  .string()
  .max(255)
  .regex(
    /^[A-Za-z0-9][\w.-]*(?::\d{1,5}(?=\/))?(?:\/[A-Za-z0-9][\w.-]*)*(?::[A-Za-z0-9_][\w.-]{0,127})?$/,
    'letters, digits, dots, dashes and underscores in parts between slashes, and a tag behind a colon',
  )

const Environment = z.record(
  z.string().regex(/^[^=\0]+$/, 'a name without = in it'),
  z.string().regex(/^[^\0]*$/, 'text without NUL'),
)
const Words = z
  .array(z.string().regex(/^[^\0]*$/, 'text without NUL'))
  .min(1)
  .max(4096)
const AbsolutePath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/, 'an absolute path')
export const Port = z.number().int().min(1).max(65_535)

function isPattern(text: string): boolean {
  try {
    return RegExp(text, 'm') instanceof RegExp
  } catch {
    return false
  }
}

/** @param timeout and @param seconds as they come in, or as they are kept */
function readinessOf<T extends z.ZodType, S extends z.ZodType>(timeout: T, seconds: S) {
  const within = { timeout }
  return z.union([
    z.strictObject({ port: Port.describe('It listens on this TCP port.'), ...within }),
    z.strictObject({
      http: z
        .strictObject({
          port: Port,
          path: z.string().startsWith('/').max(2000).default('/'),
          status: z.number().int().min(100).max(599).nullable().default(null),
        })
        .describe('It answers a GET with this status; null: with any below 400.'),
      ...within,
    }),
    z.strictObject({
      output: z
        .string()
        .min(1)
        .max(1000)
        .refine(isPattern, 'a regular expression')
        .describe('It prints what this regular expression matches.'),
      ...within,
    }),
    z.strictObject({ command: Words.describe('This command, run in it, ends with 0.'), ...within }),
    z.strictObject({ seconds, ...within }),
  ])
}

/** When something that was started counts as ready. Without any of these: at once. */
export const Readiness = readinessOf(
  Duration.pipe(z.number().min(0.1).max(3600))
    .default(60)
    .describe('Seconds after which it counts as failed.'),
  Duration.pipe(z.number().min(0).max(3600)).describe('So long after its start it still runs.'),
)
export type Readiness = z.output<typeof Readiness>

/** The same, as it is kept and told: times are seconds. */
const KeptReadiness = readinessOf(z.number(), z.number())

/** What an instance may use; null: no limit of its own. */
export const Limits = z.strictObject({
  cpu: z.number().min(0.01).max(4096).nullable().default(null).describe('Processors, as 0.5.'),
  memory: Size.pipe(
    z
      .number()
      .int()
      .min(1 << 20),
  )
    .nullable()
    .default(null)
    .describe('Bytes, as 512MB.'),
  pids: z.number().int().min(1).nullable().default(null).describe('Processes and threads.'),
})
export type Limits = z.output<typeof Limits>

/** The same, as they are kept and told: memory in bytes. */
export const KeptLimits = z.object({
  cpu: z.number().nullable(),
  memory: z.number().int().nullable(),
  pids: z.number().int().nullable(),
})

export const NO_LIMITS: Limits = { cpu: null, memory: null, pids: null }

/** By name or number. */
export const User = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_][\w.-]*(?::[A-Za-z0-9_][\w.-]*)?$/, 'a user, or USER:GROUP, by name or number')

/** What a definition may say of itself; what it does not say comes from the configuration of what is imported. */
const Start = {
  command: Words.optional().describe('What is started.'),
  env: Environment.optional(),
  user: User.optional().describe('As whom it runs: a user, or USER:GROUP, by name or number.'),
  ports: z.array(Port).max(64).optional().describe('TCP ports that are published unless told otherwise.'),
  readiness: Readiness.optional(),
  after_restore: Words.optional().describe(
    'Run in an instance after it was restored, before it is ready: for fresh random seeds, for one.',
  ),
  limits: Limits.optional(),
  engine: z
    .enum(['process', 'vm'])
    .default('process')
    .describe('What stops, copies and restarts it; `vm`: a machine with a kernel of its own.'),
}

const RootDefinition = z
  .strictObject({
    kind: z.literal('rootfs'),
    name: ImageName,
    path: AbsolutePath.describe(
      'What is imported: a directory, a tar archive (also .gz, .zst), an OCI layout (directory or tar), or what `docker save` wrote.',
    ),
    cwd: AbsolutePath.optional().describe('Where it starts.'),
    reference: z
      .string()
      .max(255)
      .optional()
      .describe('Which of several images in an archive: a tag, or what an OCI index calls it.'),
    ...Start,
  })
  .describe('A root file system of its own, which is imported.')

/** What the machine is called that runs containers, unless another is named. */
export const DOCKER_MACHINE = 'thaw/docker'

/** What `thaw image create FILE.json` reads. */
export const ImageDefinition = z.discriminatedUnion('kind', [
  z
    .strictObject({
      kind: z.literal('directory'),
      name: ImageName,
      path: AbsolutePath.describe('A directory of this machine, in which the command runs.'),
      ...Start,
      command: Words.describe('What is started.'),
    })
    .describe('A command in a directory of this machine.'),
  RootDefinition,
  z
    .strictObject({
      kind: z.literal('packages'),
      name: ImageName,
      packages: z
        .array(z.string().regex(/^[a-z0-9][a-z0-9.+-]*$/, 'the name of a package'))
        .max(256)
        .default([])
        .describe('Besides a minimal system.'),
      cwd: AbsolutePath.optional().describe('Where it starts.'),
      ...Start,
      command: Words.describe('What is started.'),
    })
    .describe('A root file system of packages of Debian, which is built.'),
  z
    .strictObject({
      kind: z.literal('docker'),
      name: ImageName.default(DOCKER_MACHINE),
      limits: Limits.optional(),
    })
    .describe('A machine with the Docker engine of Debian, which is built: instances of it run containers.'),
])
export type ImageDefinition = z.output<typeof ImageDefinition>
export type ImageDefinitionInput = z.input<typeof ImageDefinition>

/** What is said of an archive that is sent: a definition without `kind` and `path`. */
export const UploadDefinition = RootDefinition.omit({ kind: true, path: true })
export type UploadDefinition = z.output<typeof UploadDefinition>
export type UploadDefinitionInput = z.input<typeof UploadDefinition>

function parsedJson(text: string, context: z.core.$RefinementCtx): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    context.addIssue({ code: 'custom', message: `no JSON: ${(error as Error).message}` })
    return z.NEVER
  }
}

/** POST /v1/images/archive: the archive is the body. */
export const UploadQuery = z.object({
  definition: z
    .string()
    .max(12_000)
    .transform(parsedJson)
    .pipe(UploadDefinition)
    .describe('JSON as of POST /v1/images, without `kind` and `path`.'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, 'a SHA-256 in hex')
    .optional()
    .describe('Of the body, in hex; what arrives otherwise is refused.'),
})

/** Where a root file system came from, and what was made of it. */
export const Imported = z.object({
  source: z.string(),
  format: z.enum(['directory', 'tar', 'oci', 'docker']),
  digest: z.string().nullable().describe('Of the configuration, as sha256:…; null where there is none.'),
  layers: z.number().int(),
  entries: z.number().int(),
  bytes: z.number().int(),
  owners: z.boolean().describe('Whether files belong to whom they belonged; only root can do that.'),
  left_out: z.array(z.string()).describe('What was not taken over, and why.'),
})
export type Imported = z.infer<typeof Imported>

export const Image = z.object({
  id: z.string(),
  name: z.string(),
  kind: z.enum(['directory', 'rootfs']),
  path: z.string().describe('The directory it runs in, or what it was imported from.'),
  command: z.array(z.string()),
  cwd: z.string(),
  env: z.record(z.string(), z.string()),
  user: z.string().nullable(),
  ports: z.array(z.number().int()),
  readiness: KeptReadiness.nullable(),
  after_restore: z.array(z.string()).nullable(),
  limits: KeptLimits,
  engine: z.enum(['process', 'vm']),
  imported: Imported.nullable(),
  created_at: z.string().describe('ISO 8601.'),
})
export type Image = z.output<typeof Image>

export const ImageList = z.object({
  images: z.array(Image),
  items: z.array(Image).describe('The same, as callers of /v1/containers know it.'),
})
