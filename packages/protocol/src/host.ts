/** Requests to a run's host process, its answers and notices (docs/agent-protocol.md, "Host"). */
import { z } from 'zod'
import type { Allowance } from './allowance.js'
import { binding, sourceHash } from './agent.js'

const pid = z.number().int().positive()
const nothing = z.object({})

/** A version of a file: its path and the hash of its source. */
export type Version = [file: string, hash: string]

export type HostRequest =
  | { do: 'hello'; cache: string }
  | { do: 'fifo'; paths: string[] }
  | {
      do: 'spawn'
      argv: string[]
      env: Record<string, string>
      cwd: string
      umask: number
      allowance: Allowance
      stdin: string | null
      stdout: string | null
      stderr: string | null
      tty?: string
    }
  | { do: 'signal'; pid: number; signal: string; group: boolean }
  | { do: 'kill'; pids: number[]; tree: boolean }
  | { do: 'strays'; keep: number[]; action: 'look' | 'kill' | 'release' }
  | { do: 'tty'; rows: number; cols: number; stdin: string | null; stdout: string }
  | { do: 'resize'; tty: string; rows: number; cols: number }
  | { do: 'flush'; tty: string }
  | { do: 'hangup'; tty: string }
  | { do: 'pss'; pids: number[] }
  | { do: 'check'; file: string }
  | { do: 'diff'; file: string; old: string; new: string }
  | {
      do: 'remap'
      file: string
      old: string
      new: string
      unit: string
      lasti: number | null
      inline: boolean
    }
  | {
      do: 'mentioned'
      names: string[]
      files: Version[]
      edited: Version[]
      deep: boolean
      /** File, unit and offset of frames whose unit has not been called before. */
      running: [string, string, number][]
    }
  | { do: 'place'; file: string; hash: string; name: string | null; line: number | null }
  | { do: 'anew'; file: string; old: string; new: string }
  | { do: 'stub'; python: string }
  | { do: 'shutdown' }

export const unitDifference = z.object({
  changed: z.array(z.string()),
  added: z.array(z.string()),
  removed: z.array(z.string()),
  moved: z.array(z.string()),
  /** Begins at another line. */
  shifted: z.array(z.string()),
})
export type UnitDifference = z.infer<typeof unitDifference>

const bindings = {
  bind: z.array(binding).optional(),
  unbind: z.array(z.string()).optional(),
  was: z.array(binding).optional(),
  order: z.array(z.string().nullable()).optional(),
  placed: z.array(z.string()).optional(),
}
export const remapping = z.union([
  z.object({ can: z.literal(true), at: z.number().int(), ...bindings }),
  z.object({
    can: z.literal(true),
    ...bindings,
    entries: z.array(z.tuple([z.number().int(), z.number().int()])),
    first: z.number().int(),
  }),
  // Module code that has run to its end: no frame to exchange.
  z.object({ can: z.literal(true), ...bindings }),
  z.object({ can: z.literal(false), why: z.string() }),
])
export type Remapping = z.infer<typeof remapping>

/** Units that name something, and whether any code may see the order of a module's names. */
export const mentioned = z.object({
  units: z.array(z.tuple([z.string(), z.string()])),
  ordered: z.boolean(),
})
export type Mentioned = z.infer<typeof mentioned>

/** Units, each with the line to stop at (null: where it begins); and, for a name, which functions there are. */
export const places = z.object({
  places: z.array(z.tuple([z.string(), z.number().int().nullable()])),
  names: z.array(z.string()),
})
export type Places = z.infer<typeof places>

/** What an edit binds that was not bound so before, and how it was bound. */
export const anew = z.object({ bind: z.array(binding), was: z.array(binding) })
export type Anew = z.infer<typeof anew>

export const hostResults = {
  hello: z.object({ version: z.array(z.number().int()), pid }),
  fifo: nothing,
  spawn: z.object({ pid }),
  signal: nothing,
  kill: nothing,
  strays: z.object({ pids: z.array(pid) }),
  tty: z.object({ path: z.string() }),
  resize: nothing,
  flush: nothing,
  hangup: nothing,
  pss: z.object({ bytes: z.record(z.string(), z.number()) }),
  check: z.object({ hash: sourceHash }),
  diff: unitDifference,
  remap: remapping,
  mentioned,
  place: places,
  anew,
  stub: z.object({ path: z.string() }),
  shutdown: nothing,
} as const satisfies Record<HostRequest['do'], z.ZodType>
export type HostResult<D extends HostRequest['do']> = z.infer<(typeof hostResults)[D]>

export const hostAnswer = z.object({ id: z.number().int(), ok: z.literal(true) }).loose()

export const hostRefusal = z.object({
  id: z.number().int(),
  ok: z.literal(false),
  /** errno name, SyntaxError, or a word of the request's own. */
  error: z.string(),
  message: z.string(),
  where: z.string().optional(),
  line: z.number().int().optional(),
  column: z.number().int().optional(),
  text: z.string().optional(),
  kind: z.string().optional(),
})
export type HostRefusal = z.infer<typeof hostRefusal>

export const exitNotice = z.object({
  event: z.literal('exit'),
  pid,
  code: z.number().int().nullable(),
  signal: z.string().nullable(),
})
export type ExitNotice = z.infer<typeof exitNotice>

export const hostMessage = z.union([exitNotice, hostAnswer, hostRefusal])
