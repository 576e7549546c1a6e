import { ThawError } from '@thaw/protocol/errors'
import type { RunStream } from '@thaw/sdk/run-stream'
import { lstatSync } from 'node:fs'
import type { Paths } from '../system/paths.js'

const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'EOF', 'ECONNRESET', 'EPIPE'])
/** Milliseconds to wait for a daemon that is on its way out. */
const PATIENCE = 15_000

/**
 * Opens a stream (or makes any other call), starting a daemon when there is none, and a fresh one when the daemon
 * that runs is of another build and idle.
 */
export async function withDaemon<T = RunStream>(paths: Paths, call: () => Promise<T>): Promise<T> {
  checkOwner(paths)
  const until = Date.now() + PATIENCE
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof ThawError) || Date.now() > until) throw error
      if (error.code === 'DAEMON_UNREACHABLE' && NOBODY.has(String(error.details?.['errno']))) {
        await (await import('./start-daemon.js')).startDaemon(paths)
      } else if (error.code === 'VERSION_MISMATCH' && error.details?.['live'] === 0) {
        await (await import('./start-daemon.js')).stopDaemon(paths, Number(error.details['pid']))
      } else if (error.code === 'DAEMON_STOPPING') {
        await new Promise((resolve) => setTimeout(resolve, 50))
      } else throw error
    }
  }
}

/** A directory below /tmp may have been planted by somebody else: never talk to a stranger's socket. */
function checkOwner(paths: Paths): void {
  try {
    if (lstatSync(paths.runtime).uid === process.getuid?.()) return
  } catch {
    return
  }
  throw new ThawError('STATE_UNWRITABLE', `${paths.runtime} belongs to another user.`)
}
