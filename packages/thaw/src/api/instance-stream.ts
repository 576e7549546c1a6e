/** A command in an instance or a service, with input, output and perhaps a terminal over one connection. */
import { ExecRequest, type ProgramExit } from '@thaw/protocol'
import type { Beside } from '../snapshots/instances/body.js'
import type { ExecSpec } from '../snapshots/instances/living.js'
import { openScope, type Scope } from '../system/index.js'
import type { ApiContext } from './context.js'
import type { Handle } from './ports.js'
import { parse } from './parse.js'
import type { Stream } from './stream.js'

/** Bytes of stdin that may be on their way at a time: what a pipe holds. */
const STDIN_WINDOW = 64 * 1024

/**
 * Begins what the first message asks for. Whoever goes away ends it.
 *
 * @throws ThawError INVALID_REQUEST and what `start` throws
 */
export async function execStream(
  start: (spec: ExecSpec, scope: Scope) => Promise<Beside>,
  first: unknown,
  stream: Stream,
  { log }: Pick<ApiContext, 'log'>,
): Promise<Handle<ProgramExit>> {
  const { terminal, stdin, joined, ...asked } = parse(ExecRequest, first)
  const sink = stream.sink(() => {})
  let entered: Beside | null = null
  let sent: Promise<unknown> = Promise.resolve()
  let waiting = 0
  const listener = {
    output(name: 'stdout' | 'stderr', bytes: Buffer) {
      const copy = Buffer.from(bytes)
      waiting++
      // A reader that has gone is no reason to hold the program back.
      sent = sent
        .then(() => sink[name](copy))
        .catch(() => {})
        .then(() => {
          if (--waiting === 0) entered?.resumeOutput()
        })
      return false
    },
  }
  const spec = { ...asked, streams: { terminal, stdin, joined }, listener }
  const program = await start(spec, openScope(log))
  entered = program
  if (waiting === 0) program.resumeOutput()
  stream.onGone(() => void program[Symbol.asyncDispose]())
  if (stdin === 'stream') stream.grant(STDIN_WINDOW)
  const done = program.exited.then(async (exit) => {
    await sent
    return exit
  })
  done.then(
    (exit) => stream.finish({ t: 'exited', exit }),
    (error: unknown) => stream.fail(error),
  )
  return {
    stdin: (chunk) => program.writeStdin(chunk),
    stdinEnd: () => program.endStdin(),
    signal: (name) => Promise.resolve(program.signal(name)),
    resize: (rows, cols) => Promise.resolve(program.resize({ rows, cols })),
    done,
  }
}
