/** A debugger or a shell in a service, over one connection. */
import { DebugRequest, type ProgramExit } from '@thaw/protocol'
import type { ExecSpec } from '../snapshots/instances/living.js'
import type { Beside } from '../snapshots/instances/body.js'
import { isRaised } from '../services/repair.js'
import type { Kept } from '../services/kept.js'
import type { Service } from '../services/service.js'
import type { Client } from '../services/stops.js'
import { ThawError, type Scope } from '../system/index.js'
import type { Handle } from './ports.js'
import { parse } from './parse.js'
import type { Stream } from './stream.js'

/** Bytes that may be typed ahead. */
const STDIN_WINDOW = 64 * 1024
const DONE: ProgramExit = { code: 0, signal: null }

/** Programs in a service. @throws ThawError UNSUPPORTED for another user */
export function execIn(service: Kept): (spec: ExecSpec, scope: Scope) => Promise<Beside> {
  return ({ command, user, ...spec }, scope) => {
    if (user !== null) throw new ThawError('UNSUPPORTED', 'What is started in a service runs as its user.')
    return service.exec({ argv: command, ...spec }, scope)
  }
}

/**
 * Attaches to a call at a breakpoint; whoever goes away leaves it waiting.
 *
 * @throws ThawError INVALID_REQUEST, NO_BREAKPOINT, WRONG_STATE
 */
export async function debugStream(
  service: Service,
  first: unknown,
  stream: Stream,
): Promise<Handle<ProgramExit>> {
  const { call, how, stdin } = parse(DebugRequest, first)
  const sink = stream.sink(() => {})
  let sent: Promise<unknown> = Promise.resolve()
  const print = (name: 'stdout' | 'stderr', bytes: Uint8Array) => {
    const copy = Buffer.from(bytes)
    // A reader that has gone is no reason to hold the call back.
    sent = sent.then(() => sink[name](copy)).catch(() => {})
  }
  const finish = async (exit: ProgramExit) => {
    await sent
    stream.finish({ t: 'exited', exit })
    return exit
  }
  const fail = async (error: unknown) => {
    await sent
    stream.fail(error)
    throw error
  }
  if (how === 'again') return goAgain(service, stream, print, finish, fail)
  let left!: Client['left']
  const gone = new Promise<ThawError | null>((resolve) => (left = resolve))
  const done = gone.then((error) => (error === null ? finish(DONE) : fail(error)))
  done.catch(() => {})
  const client: Client = { print, left }
  const attached = service.stops.attach(call, how, client)
  const leave = () => {
    attached.leave()
    left(null)
  }
  stream.onGone(leave)
  if (stdin === 'stream') stream.grant(STDIN_WINDOW)
  else attached.end()
  return {
    stdin: async (chunk) => attached.type(chunk),
    stdinEnd: () => attached.end(),
    signal: async () => leave(),
    resize: async () => {},
    done,
  }
}

/** What the call prints and returns, as `thaw call` prints it. */
function goAgain(
  service: Service,
  stream: Stream,
  print: Client['print'],
  finish: (exit: ProgramExit) => Promise<ProgramExit>,
  fail: (error: unknown) => Promise<never>,
): Handle<ProgramExit> {
  const gone = new AbortController()
  const leave = () => gone.abort()
  stream.onGone(leave)
  const work = async () => {
    try {
      const printed = (name: 'stdout' | 'stderr', bytes: Buffer) => void print(name, bytes)
      const { kind, body } = await service.again(printed, gone.signal)
      if (kind !== 'json') print('stdout', body)
      else if (body.toString() !== 'null') print('stdout', Buffer.from(`${body.toString()}\n`))
      return await finish(DONE)
    } catch (error) {
      if (!isRaised(error)) return await fail(error)
      const { traceback } = error.details as { traceback?: string }
      print('stderr', Buffer.from(traceback ?? `${error.message}\n`))
      return await finish({ code: 1, signal: null })
    }
  }
  const done = work()
  done.catch(() => {})
  return {
    stdin: async () => {},
    stdinEnd: () => {},
    signal: async () => leave(),
    resize: async () => {},
    done,
  }
}
