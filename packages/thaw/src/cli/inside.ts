/** A stream of the daemon, connected to this process's own. */
import { SHELL, type ExecRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { FrameStream, RunStream } from '@thaw/sdk/run-stream'
import { exitCode } from '../system/exit-code.js'
import { findPaths } from '../system/paths.js'
import { BUILD } from '../version.js'
import { remoteTransport } from './client.js'
import { withDaemon } from './connect.js'
import { session, type Io } from './session.js'

/**
 * Talks to what a path stands for until it ends.
 *
 * @param first what says what is to be begun
 * @returns the exit code
 */
export async function connectTo(
  path: string,
  first: (io: Io) => unknown,
  how: { terminal: boolean; stdin?: 'null' | null },
): Promise<number> {
  const paths = findPaths()
  const { end } = await session({ ...how, quiet: true }, async (io, handlers) => {
    const remote = await remoteTransport()
    if (remote !== null) return new FrameStream(await remote.connect(path), first(io), handlers)
    return withDaemon(paths, () => RunStream.open(paths.socket, path, first(io), handlers, BUILD))
  })
  if (end.t !== 'exited') throw new ThawError('INTERNAL', 'The stream of a command ended as that of a run.')
  return exitCode(end.exit)
}

/** @param path of the exec stream of an instance or a service */
export function execAt(
  path: string,
  command: readonly string[],
  { env = {}, cwd = null, user = null, terminal = false }: ExecOptions,
): Promise<number> {
  const TERM = terminal ? process.env['TERM'] : undefined
  const own = { ...(TERM === undefined ? {} : { TERM }), ...env }
  const request = (io: Io): ExecRequestInput => ({ command: [...command], env: own, cwd, user, ...io })
  return connectTo(path, request, { terminal })
}

export interface ExecOptions {
  env?: Record<string, string>
  cwd?: string | null
  user?: string | null
  terminal?: boolean
}

/** A shell of its own, with this terminal. */
export function shellAt(path: string, options: Pick<ExecOptions, 'user'> = {}): Promise<number> {
  return execAt(path, SHELL, { ...options, terminal: true })
}
