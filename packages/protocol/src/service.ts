/** Services: functions, classes and modules that are kept warm behind a name. */
import { z } from 'zod'
import { AppSource } from './app.js'
import { RepairBounds, Repairer } from './repair.js'
import { Duration } from './settings.js'
import { SnapshotName } from './snapshot.js'

export const ServiceState = z
  .enum(['stopped', 'starting', 'ready', 'freezing', 'frozen', 'thawing', 'failed'])
  .describe('What of it is there: nothing, a process, or its memory on disk. A call brings it up from each.')
export type ServiceState = z.infer<typeof ServiceState>

const Seconds = Duration.pipe(z.number().positive())

/** What of a file is to be called. */
export const ServiceSource = z.strictObject({
  file: z
    .string()
    .regex(/^\/[^\0]*$/, 'an absolute path')
    .max(4096)
    .describe(
      'Python file, or module of Node (.mjs, .cjs, .js, .ts, .mts), with the code, as an absolute path.',
    ),
  root: z
    .string()
    .regex(/^\/[^\0]*$/, 'an absolute path')
    .max(4096)
    .nullable()
    .default(null)
    .describe('Directory of the files that belong to it; null: the project around the file.'),
  callables: z
    .array(z.string().min(1).max(500))
    .min(1)
    .max(1000)
    .nullable()
    .default(null)
    .describe('Names that may be called; null: every public function of the module, or method of the class.'),
  class: z
    .strictObject({
      name: z.string().min(1).max(500),
      args: z.array(z.unknown()).max(1000).default([]),
      kwargs: z.record(z.string(), z.unknown()).default({}),
    })
    .nullable()
    .default(null)
    .describe('A class, and what it is made with: the methods of that one object are called.'),
})
export type ServiceSource = z.output<typeof ServiceSource>

/** Who mends a call that raises an error, and how far that may go. */
export const ServiceRepair = z.strictObject({
  repairer: Repairer.refine(({ kind }) => kind !== 'caller' && kind !== 'none', 'a command or a model'),
  bounds: RepairBounds.prefault({}),
})
export type ServiceRepair = z.output<typeof ServiceRepair>

/** What a service is given, and when it rests. */
export const ServiceCompute = z.strictObject({
  python: z.string().max(4096).nullable().default(null).describe('Interpreter; null: python3 on PATH.'),
  env: z.record(z.string(), z.string()).default({}).describe('Its whole environment is this and the PATH.'),
  launch_timeout: Seconds.default(60).describe('Seconds that it may take until it can be called.'),
  inactivity_ttl: Seconds.nullable()
    .default(null)
    .describe('Seconds after the end of the last call until it rests; null: it never does.'),
  ttl_action: z
    .enum(['freeze', 'stop'])
    .default('freeze')
    .describe('How it rests: on disk with its state, or ended. Where it cannot be frozen it stays.'),
  concurrency: z.number().int().min(1).max(512).default(16).describe('Calls of one worker at a time.'),
  workers: z
    .number()
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe('Processes forked after the code was loaded; each has its own state.'),
  queue: z.number().int().min(0).max(100_000).default(100).describe('Calls that may wait.'),
  timeout: Seconds.nullable()
    .default(null)
    .describe('Seconds that a call may take; null: as long as it likes.'),
  debug_timeout: Seconds.default(60).describe(
    'Seconds that a call waits at a breakpoint while nobody is attached; then it goes on.',
  ),
  isolation: z
    .enum(['service', 'call'])
    .default('service')
    .describe('Whether calls share the state, or each has a fresh copy of that right after loading.'),
  reload: z
    .enum(['hot', 'exact'])
    .default('hot')
    .describe(
      'After an edit: keep the state and use the new code, or load again from the last copy before what was edited.',
    ),
  sync: z.enum(['call', 'deploy']).default('call').describe('When it is looked whether files have changed.'),
  pickle: z
    .boolean()
    .default(false)
    .describe('Whether calls over the unix socket may carry pickled objects.'),
  repair: ServiceRepair.nullable()
    .default(null)
    .describe('What edits the code when a call raises an error, which is then made again; null: nothing.'),
  engine: z
    .enum(['auto', 'process', 'plain'])
    .default('auto')
    .describe(
      '`process`: in a sandbox that can be frozen; `plain`: an ordinary process; auto: the first where it works.',
    ),
})
export type ServiceCompute = z.output<typeof ServiceCompute>

/** POST /v1/services. */
export const ServiceRequest = z.strictObject({
  name: SnapshotName,
  source: ServiceSource,
  compute: ServiceCompute.prefault({}),
  replace: z
    .boolean()
    .default(false)
    .describe('Take the place of a service of this name that is for other code.'),
})
export type ServiceRequest = z.output<typeof ServiceRequest>
export type ServiceRequestInput = z.input<typeof ServiceRequest>

/** What an app is given, and when it rests. */
export const AppCompute = ServiceCompute.pick({
  env: true,
  launch_timeout: true,
  inactivity_ttl: true,
  ttl_action: true,
  timeout: true,
  queue: true,
  sync: true,
  engine: true,
}).extend({
  concurrency: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe('Requests that it is sent at a time; open WebSockets count.'),
})
export type AppCompute = z.output<typeof AppCompute>

/** POST /v1/services/apps. */
export const AppRequest = z.strictObject({
  name: SnapshotName,
  app: AppSource,
  compute: AppCompute.prefault({}),
  replace: ServiceRequest.shape.replace,
})
export type AppRequest = z.output<typeof AppRequest>
export type AppRequestInput = z.input<typeof AppRequest>

export const ServiceCallable = z.object({
  name: z.string(),
  async: z.boolean(),
  signature: z.string(),
  doc: z.string().nullable(),
})

export type ServiceCallable = z.infer<typeof ServiceCallable>

/** What an edit came to. */
export const ServiceReload = z.object({
  at: z.string(),
  version: z.string(),
  how: z
    .enum(['patched', 'restored', 'loaded'])
    .describe('In place, from a copy before the edit, or from the start, as apps always are.'),
  seconds: z.number(),
  patched: z.array(z.string()).describe('Functions and classes with new code.'),
  executed: z
    .array(z.object({ file: z.string(), line: z.number().int(), text: z.string() }))
    .describe('Statements at module level that were executed, since they cannot be patched.'),
  removed: z.array(z.string()).describe('Names that are gone.'),
})
export type ServiceReload = z.infer<typeof ServiceReload>

export const CodeFault = z.object({
  file: z.string(),
  line: z.number().int(),
  message: z.string(),
})
export type CodeFault = z.infer<typeof CodeFault>

/** Of what it is given, as it is told. */
const TOLD = {
  env: z.array(z.string()).describe('Names only.'),
  launch_timeout: z.number(),
  inactivity_ttl: z.number().nullable(),
  timeout: z.number().nullable(),
}

export const Service = z.object({
  name: z.string(),
  state: ServiceState,
  reason: z.string().nullable().describe('Why it is not as it should be.'),
  source: ServiceSource.nullable().describe('What is called; null: it is an app.'),
  app: AppSource.nullable().describe('What is started and reached by its port; null: it has functions.'),
  compute: z.union([
    ServiceCompute.omit({ env: true }).extend({
      ...TOLD,
      debug_timeout: z.number(),
      repair: z.boolean().describe('Whether calls that raise an error are repaired.'),
    }),
    AppCompute.omit({ env: true }).extend(TOLD),
  ]),
  engine: z.enum(['process', 'plain']).nullable(),
  version: z.string().nullable().describe('Of the code that answers: a digest of all its files.'),
  callables: z.array(ServiceCallable),
  files: z.array(z.string()).describe('Files of the project that it has loaded.'),
  stale: CodeFault.nullable().describe('Newer code that could not be put in place; the old serves.'),
  reload: ServiceReload.nullable().describe('What the latest edit came to.'),
  calls: z.number().int(),
  failed: z.number().int().describe('Of those, such that raised an error.'),
  running: z.number().int(),
  waiting: z.number().int(),
  stops: z.number().int().describe('Calls that stand at a breakpoint.'),
  workers: z.array(
    z.object({ pid: z.number().int(), running: z.number().int(), memory_bytes: z.number().int() }),
  ),
  parked: z.number().int().describe('Copies from the loading, to which an exact reload can go back.'),
  memory_bytes: z.number().int().describe('Proportional set size of all its processes.'),
  disk_bytes: z.number().int().describe('Of what is frozen.'),
  start_seconds: z.number().nullable().describe('What the latest start from nothing took.'),
  thaw_seconds: z.number().nullable(),
  idle_seconds: z.number().nullable().describe('Since the last call ended; null while one runs.'),
  created_at: z.string(),
})
export type Service = z.infer<typeof Service>

export const ServiceList = z.object({ services: z.array(Service) })

export const ServiceCallParams = z.object({
  id: z.string().min(1).max(200),
  fn: z.string().min(1).max(500),
})

export const ServiceCallQuery = z.strictObject({
  timeout: z.coerce
    .number()
    .positive()
    .max(1e6)
    .optional()
    .describe('Seconds after which the call is cancelled.'),
  version: z.string().max(64).optional().describe('The code version that has to answer.'),
  isolation: z.enum(['service', 'call']).optional(),
})
export type ServiceCallQuery = z.output<typeof ServiceCallQuery>

/** What a call came to. */
export const ServiceAnswer = z.object({
  result: z.unknown().describe('What the function returned.'),
  version: z.string().describe('Of the code that answered.'),
  seconds: z.number().describe('Within the function.'),
  memory_growth: z.number().int().describe('Bytes by which the worker has grown meanwhile.'),
  stale: CodeFault.nullable().describe('Newer code that could not be put in place.'),
  repaired: z.array(z.string()).describe('Edits that the call needed before it succeeded, as diffs.'),
})
export type ServiceAnswer = z.infer<typeof ServiceAnswer>

/** An error that a function raised, as the details of CALL_RAISED. */
export const RemoteError = z.object({
  type: z.string(),
  module: z.string(),
  message: z.string(),
  traceback: z.string(),
  args: z.unknown(),
})
export type RemoteError = z.infer<typeof RemoteError>
