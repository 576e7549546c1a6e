/** What the processes of a service say to the daemon (agents/python/thaw_agent/service_*.py, agents/node). */
import { z } from 'zod'
import { ToldException } from './agent.js'
import { ServiceCallable, ServiceReload } from './service.js'
import { ServiceStop } from './service-debug.js'

export const HostError = z.object({
  kind: z.enum(['raised', 'syntax', 'reload', 'unknown', 'arguments', 'result', 'cancelled', 'quit']),
  type: z.string(),
  module: z.string(),
  message: z.string(),
  traceback: z.string(),
  args: z.unknown().nullable(),
  file: z.string().optional(),
  line: z.number().int().optional(),
  /** Where it stood: told where calls are repaired. */
  exceptions: z.array(ToldException).optional(),
})
export type HostError = z.infer<typeof HostError>

const Pid = z.number().int().positive()
const Loaded = {
  pid: Pid,
  callables: z.array(ServiceCallable),
  /** SHA-256 of what was loaded, by path. */
  files: z.record(z.string(), z.string()),
  seconds: z.number(),
  threads: z.number().int(),
  bytes: z.number(),
}
const Ended = { id: z.number().int(), version: z.string(), seconds: z.number(), grown: z.number() }

/** The first message of a connection. */
export const HostHello = z.discriminatedUnion('role', [
  z.object({ t: z.literal('hello'), role: z.literal('keeper'), pid: Pid }),
  z.object({
    t: z.literal('hello'),
    role: z.literal('parked'),
    pid: Pid,
    number: z.number().int(),
    /** Statements that have begun, by file. */
    progress: z.record(z.string(), z.number()),
  }),
  z.object({ t: z.literal('hello'), role: z.literal('worker'), pid: Pid, worker: z.string() }),
  z.object({
    t: z.literal('hello'),
    role: z.literal('slot'),
    pid: Pid,
    worker: z.string(),
    slot: z.number().int(),
  }),
  /** Of a call: at a breakpoint; a copy of it that waits there; what goes on from such a copy. */
  z.object({
    t: z.literal('hello'),
    role: z.enum(['debug', 'copy', 'again']),
    pid: Pid,
    call: z.number().int(),
  }),
])
export type HostHello = z.infer<typeof HostHello>

export const KeeperMessage = z.discriminatedUnion('t', [
  z.object({ t: z.literal('loaded'), ...Loaded }),
  z.object({ t: z.literal('failed'), error: HostError }),
  z.object({ t: z.literal('forked'), worker: z.string(), pid: Pid }),
  z.object({
    t: z.literal('reaped'),
    pid: Pid,
    code: z.number().int().nullable(),
    signal: z.string().nullable(),
  }),
  z.object({
    t: z.literal('patched'),
    report: ServiceReload.pick({ patched: true, executed: true, removed: true }),
    callables: z.array(ServiceCallable),
    files: z.record(z.string(), z.string()),
  }),
  z.object({ t: z.literal('refused'), error: HostError }),
  /** New code can be read. What it does, only those who execute it can tell. */
  z.object({ t: z.literal('checked') }),
  z.object({ t: z.literal('pong') }),
  z.object({ t: z.literal('planned'), first: z.record(z.string(), z.number()) }),
])
export type KeeperMessage = z.infer<typeof KeeperMessage>

export const SlotMessage = z.discriminatedUnion('t', [
  z.object({ t: z.literal('out'), id: z.number().int(), stream: z.enum(['stdout', 'stderr']) }),
  z.object({ t: z.literal('result'), kind: z.enum(['json', 'bytes', 'pickle']), ...Ended }),
  z.object({ t: z.literal('error'), error: HostError, ...Ended }),
])
export type SlotMessage = z.infer<typeof SlotMessage>

/** Of a call that is debugged. */
export const DebugMessage = z.discriminatedUnion('t', [
  ServiceStop.pick({ fn: true, file: true, line: true, function: true, uncopied: true }).extend({
    t: z.literal('stop'),
    /** Whether all else in the process stands still as well. */
    whole: z.boolean().default(false),
  }),
  z.object({ t: z.literal('print') }),
  /** The call goes on. */
  z.object({ t: z.literal('went') }),
  /** Whoever was attached has nothing more to say; the call waits. */
  z.object({ t: z.literal('detached') }),
  /** An editor may come to this port. */
  z.object({ t: z.literal('dap'), port: z.number().int() }),
  z.object({ t: z.literal('refused'), message: z.string() }),
])
export type DebugMessage = z.infer<typeof DebugMessage>
