/**
 * What the agent inside a program and the daemon say to each other
 * (docs/agent-protocol.md). One JSON object a line, in both directions.
 */
import { z } from 'zod'

const count = z.number().int().nonnegative()
const pid = z.number().int().positive()

/** Hex sha1 of a source text's bytes. */
export const sourceHash = z.string().regex(/^[0-9a-f]{40}$/)

/** Size in bytes, mtime in ns, inode; null: tried in vain. */
export const readSignature = z.tuple([count, z.number(), z.number()]).nullable()
export type ReadSignature = z.infer<typeof readSignature>

const fileKind = z.enum(['file', 'dir', 'link', 'other'])
/** Kind, size in bytes, mtime in ns, permissions; the kind alone where nothing else was looked at; null: absent. */
export const statSignature = z
  .union([z.tuple([fileKind]), z.tuple([fileKind, count, z.number(), count])])
  .nullable()
export type StatSignature = z.infer<typeof statSignature>

export type AgentEvent =
  | [seq: number, kind: 'load', file: string, hash: string, module: string]
  | [seq: number, kind: 'exec' | 'again' | 'code', file: string, unit: string]
  | [seq: number, kind: 'hot', file: string, unit: string]
  | [seq: number, kind: 'line' | 'start', file: string, unit: string]
  | [seq: number, kind: 'query', argv: string[], cwd: string]
  | [seq: number, kind: 'read' | 'package', path: string, sig: ReadSignature]
  | [seq: number, kind: 'stat' | 'lstat', path: string, sig: StatSignature]
  | [seq: number, kind: 'list', dir: string, digest: string | null]
  | [seq: number, kind: 'names', dir: string, names: string[] | null]
  | [seq: number, kind: 'find', name: string]
  | [seq: number, kind: 'look', file: string]
  | [seq: number, kind: 'dated', path: string]
  | [seq: number, kind: 'env', name: string, value: string | null]
  | [seq: number, kind: 'effect', what: string, text: string]
  | [seq: number, kind: 'opaque', why: string]

type Check = (value: unknown) => boolean
const isText: Check = (value) => typeof value === 'string'
const isTextOrNull: Check = (value) => value === null || typeof value === 'string'
const isTexts: Check = (value) => Array.isArray(value) && value.length > 0 && value.every(isText)
const isNames: Check = (value) => value === null || (Array.isArray(value) && value.every(isText))
const isRead: Check = (value) => readSignature.safeParse(value).success
const isStat: Check = (value) => statSignature.safeParse(value).success
const isHash: Check = (value) => sourceHash.safeParse(value).success

const FIELDS: Record<string, readonly Check[]> = {
  load: [isText, isHash, isText],
  exec: [isText, isText],
  again: [isText, isText],
  code: [isText, isText],
  line: [isText, isText],
  start: [isText, isText],
  hot: [isText, isText],
  query: [isTexts, isText],
  read: [isText, isRead],
  package: [isText, isRead],
  stat: [isText, isStat],
  lstat: [isText, isStat],
  list: [isText, isTextOrNull],
  look: [isText],
  dated: [isText],
  names: [isText, isNames],
  find: [isText],
  env: [isText, isTextOrNull],
  effect: [isText, isText],
  opaque: [isText],
}

/** Events come in tens of thousands; a table is checked in a tenth of the time a union of tuples takes. */
function isAgentEvent(value: unknown): value is AgentEvent {
  if (!Array.isArray(value) || !Number.isSafeInteger(value[0]) || typeof value[1] !== 'string') return false
  const fields = Object.hasOwn(FIELDS, value[1]) ? FIELDS[value[1]] : undefined
  return (
    fields !== undefined &&
    value.length === fields.length + 2 &&
    fields.every((check, i) => check(value[i + 2]))
  )
}
export const eventSchema = z.custom<AgentEvent>(isAgentEvent, 'not an event of a known kind')

export const frameSchema = z.object({
  file: z.string(),
  unit: z.string(),
  lasti: z.number().int(),
  single: z.boolean(),
  inline: z.boolean(),
})
export type Frame = z.infer<typeof frameSchema>

/** Where a path's content before a write is kept; null: it did not exist; `other`: what it was cannot be put back. */
export const preImage = z.union([
  z.null(),
  z.string(),
  z.object({ link: z.string() }),
  z.object({ other: z.literal(true) }),
])
export type PreImage = z.infer<typeof preImage>

/** Where an exception was raised, and what the variables there held. */
export const ToldException = z.object({
  type: z.string(),
  message: z.string(),
  /** The outermost first. */
  frames: z.array(
    z.object({
      file: z.string(),
      line: count,
      function: z.string(),
      project: z.boolean(),
      locals: z.record(z.string(), z.string()),
    }),
  ),
})

/** What an interpreter had read before the agent began, and the names of its settings (*.pth and the like) by directory. */
export const startFiles = z.object({
  files: z.array(z.tuple([z.string(), readSignature])),
  settings: z.array(z.tuple([z.string(), z.array(z.string()).nullable()])),
})
export type StartFiles = z.infer<typeof startFiles>

export const agentMessage = z.discriminatedUnion('t', [
  z.object({
    t: z.literal('hello'),
    role: z.enum(['base', 'branch', 'checkpoint']),
    pid,
    id: z.string(),
    version: z.array(z.number().int()).optional(),
    /** Of a base. */
    start: startFiles.optional(),
  }),
  z.object({ t: z.literal('events'), list: z.array(eventSchema) }),
  z.object({
    t: z.literal('checkpoint'),
    id: z.string(),
    pid,
    seq: count,
    before: z.object({ file: z.string(), unit: z.string(), line: count }),
    stack: z.array(frameSchema),
    work: z.number().nonnegative(),
    cost: z.number().nonnegative(),
    quiet: z.boolean().default(false),
    /** The program goes no further: nothing but the parked copy is left of it. */
    stop: z.boolean().default(false),
    /** What the program calls it. */
    name: z.string().nullable().default(null),
    /** The daemon had asked for it. */
    asked: z.boolean().default(false),
    /** Functions of the program's ran for it that a run from the start would not call. */
    hooked: z.boolean().default(false),
  }),
  z.object({
    t: z.literal('refused'),
    why: z.string().nullable(),
    /** Somebody waits for this checkpoint: the daemon, the program itself, or who wanted it to stop. */
    asked: z.boolean().default(false),
    /** In a sandbox, copied from outside, the program might be copied all the same. */
    sandbox: z.boolean().default(false),
  }),
  z.object({
    t: z.literal('write'),
    seq: count,
    path: z.string(),
    pre: preImage,
    mode: count.nullable().optional(),
  }),
  z.object({ t: z.literal('end'), seq: count, work: z.number().nonnegative() }),
  z.object({
    t: z.literal('restored'),
    pid,
    /** What a hot edit could not change in this process. */
    left: z.array(z.string()).default([]),
  }),
  z.object({ t: z.literal('failed'), why: z.string() }),
  z.object({
    t: z.literal('failure'),
    /** `exit`: by SystemExit; `standing`: the answer to `tell`; `test`: one failed, and the program goes on. */
    kind: z.enum(['exception', 'exit', 'standing', 'test']),
    test: z.string().optional(),
    /** The one that ended the program, then what it came from. */
    exceptions: z.array(ToldException),
  }),
  /** A line of what the interpreter says when a signal ends it; made of text that is no message. */
  z.object({ t: z.literal('fault'), text: z.string() }),
])
export type AgentMessage = z.infer<typeof agentMessage>
export type FailureMessage = Extract<AgentMessage, { t: 'failure' }>
export type CheckpointMessage = Extract<AgentMessage, { t: 'checkpoint' }>

/** A name to bind in a module: what its statement would have bound it to. */
export const binding = z.looseObject({
  name: z.string(),
  kind: z.enum(['function', 'constant', 'import', 'value', 'class']),
  /** The class it is a member of. */
  owner: z.string().optional(),
  /** The name that an import takes from its module. */
  also: z.string().optional(),
})
export type Binding = z.infer<typeof binding>

/** Where a running frame goes on in edited code. */
export const framePatch = z.union([
  z.object({ unit: z.string(), at: z.number().int() }),
  z.object({
    unit: z.string(),
    entries: z.array(z.tuple([z.number().int(), z.number().int()])),
    first: z.number().int(),
  }),
])
export type FramePatch = z.infer<typeof framePatch>

export const filePatch = z.object({
  file: z.string(),
  old: sourceHash,
  new: sourceHash,
  changed: z.array(z.string()),
  frames: z.array(framePatch),
  bind: z.array(binding).optional(),
  unbind: z.array(z.string()).optional(),
  was: z.array(binding).optional(),
  /** In which order the module's names are bound, null where others may be; and those that did not stand there before. */
  order: z.array(z.string().nullable()).optional(),
  placed: z.array(z.string()).optional(),
  /** The order may show: it has to be right. */
  ordered: z.boolean().optional(),
  /** Put in place whatever has run, as far as it goes. */
  hot: z.boolean().optional(),
  /** Units whose next call is to meet the agent although they have run. */
  arm: z.array(z.string()).optional(),
})
export type FilePatch = z.infer<typeof filePatch>

/** Where a branch is to stop. */
export const stopPlace = z.object({
  file: z.string(),
  unit: z.string(),
  /** Null: before the unit's first instruction. */
  line: count.nullable(),
  /** Which time, from 1, counted from where the branch begins. */
  count: z.number().int().positive(),
  /** Every time, and not to stop: a checkpoint is taken, and the program goes on. */
  save: z.boolean().optional(),
})
export type StopPlace = z.infer<typeof stopPlace>

export const restoreMessage = z.object({
  t: z.literal('restore'),
  branch: z.string(),
  stdin: z.string().nullable(),
  stdout: z.string(),
  stderr: z.string(),
  tty: z.string().nullable(),
  /** Variables to set; null unsets. The others stay as the program left them. */
  env: z.record(z.string(), z.string().nullable()).nullable(),
  argv: z.null(),
  files: z.array(filePatch),
  stops: z.array(stopPlace),
  /** Which of the branches of one `thaw resume` this is, from 1; null elsewhere. */
  number: count.nullable(),
  /** It is to tell where it stands when it fails; `freeze`: and to leave a checkpoint there, for pdb. */
  diagnose: z.enum(['tell', 'freeze']).nullable().default(null),
  /** A copy of the project that this branch is to see in the project's place; null: the project itself. */
  view: z
    .object({ project: z.string(), copy: z.string(), shared: z.array(z.string()) })
    .nullable()
    .default(null),
  /** It goes on when it is told to. */
  hold: z.boolean().default(false),
})
export type RestoreMessage = z.infer<typeof restoreMessage>

/** What a program in a sandbox finds in a file after it has asked to be copied: what it is now. */
export type SandboxOrder =
  | { t: 'go' }
  | { t: 'refused'; why: string }
  | ({ t: 'restore'; socket: string } & Pick<
      RestoreMessage,
      'branch' | 'env' | 'files' | 'stops' | 'number' | 'diagnose'
    >)

export const daemonMessage = z.discriminatedUnion('t', [
  restoreMessage,
  z.object({ t: z.literal('go') }),
  z.object({ t: z.literal('quit') }),
  /** With the signal that else asks for a checkpoint: say where the program stands. */
  z.object({ t: z.literal('tell') }),
])
export type DaemonMessage = z.infer<typeof daemonMessage>

/** The value of THAW_AGENT in a base process's environment. */
export interface AgentSetup {
  socket: string
  project: string
  cache: string
  store: string
  temp: string
  main: { kind: 'script' | 'module' | 'command'; name: string }
  orig_argv: string[]
  /** Seconds. */
  min_gap: number
  factor: number
  /** In a sandbox: the branch that the process is from its start, and where it is to stop. */
  branch?: string
  stops?: readonly StopPlace[]
  diagnose?: RestoreMessage['diagnose']
  /** Its network is its own: what it sends over the loopback stays in the program. */
  alone?: boolean
}
