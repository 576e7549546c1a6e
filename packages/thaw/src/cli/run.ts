import type { RunRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { RunStream, type StreamHandlers } from '@thaw/sdk/run-stream'
import { isatty } from 'node:tty'
import { OPEN_FILES_VARIABLE, ownAllowance } from '../system/allowance.js'
import { findPaths } from '../system/paths.js'
import { BUILD } from '../version.js'
import { withDaemon } from './connect.js'
import { parseRunArguments, type RunArguments } from './run-arguments.js'
import { converse, session, type Io, type SessionEnd } from './session.js'

/** Opens the stream of a run. */
export type OpenStream = (request: RunRequestInput, handlers: StreamHandlers) => Promise<RunStream>

/**
 * `thaw run`: the command people wait for. Everything it loads at start is on this file's list of imports: neither
 * schemas nor an HTTP library.
 *
 * @returns the exit code
 */
export async function run(argv: readonly string[]): Promise<number> {
  const given = parseRunArguments(argv)
  if (given.help) {
    const { RUN_HELP } = await import('./run-help.js')
    process.stdout.write(RUN_HELP)
    return 0
  }
  const paths = findPaths()
  return converse(given, (io, handlers) =>
    withDaemon(paths, () =>
      RunStream.open(paths.socket, '/v1/runs/stream', makeRequest(given, io), handlers, BUILD),
    ),
  )
}

/** Runs a command with this process's streams and signals. */
export async function runOnce(given: RunArguments, open: OpenStream): Promise<SessionEnd> {
  const { end, quiet } = await session(given, (io, handlers) => open(makeRequest(given, io), handlers))
  if (end.t !== 'done') throw new ThawError('INTERNAL', 'The stream of a run ended as that of a branch.')
  return { end, quiet }
}

/** The environment and the soft limit on open files that this command was started with, as far as that is known. */
export function ownStart(): { env: NodeJS.ProcessEnv; openFiles: string | undefined } {
  const { [OPEN_FILES_VARIABLE]: openFiles, ...env } = process.env
  return { env, openFiles }
}

export function makeRequest(given: RunArguments, io: Io): RunRequestInput {
  const { env, openFiles } = ownStart()
  return {
    command: given.command,
    cwd: currentDirectory(),
    env: env as Record<string, string>,
    allowance: ownAllowance(openFiles),
    fresh: given.fresh,
    engine: given.engine as RunRequestInput['engine'],
    effects: given.effects as RunRequestInput['effects'],
    quiet: given.quiet ? true : null,
    typed: isatty(0),
    umask: process.umask(),
    break: given.break,
    every: given.every,
    break_output: given.breakOutput,
    break_listen: given.breakListen,
    net: given.net as RunRequestInput['net'],
    tcp: given.tcp as RunRequestInput['tcp'],
    image: given.image,
    memory: given.memory,
    cpus: given.cpus,
    ...io,
  }
}

function currentDirectory(): string {
  try {
    return process.cwd()
  } catch (error) {
    const where = process.env['PWD']
    throw new ThawError(
      'DIRECTORY_GONE',
      `The current directory${where === undefined ? '' : ` ${where}`} is gone.`,
      {
        cause: error,
      },
    )
  }
}
