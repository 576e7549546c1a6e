import { NodeClient } from '@thaw/sdk/node'
import { findPaths } from '../system/paths.js'
import { BUILD } from '../version.js'
import { withDaemon } from './connect.js'

/** Calls the daemon, which is started when there is none. */
export function ask<T>(work: (client: NodeClient) => Promise<T>): Promise<T> {
  const paths = findPaths()
  const client = new NodeClient(paths.socket)
  return withDaemon(paths, () => work(client))
}

/** The same, for calls that a daemon of another build may not know: one that is idle makes way for one of this build. */
export function askSameBuild<T>(work: (client: NodeClient) => Promise<T>): Promise<T> {
  const paths = findPaths()
  const client = new NodeClient(paths.socket, BUILD)
  return withDaemon(paths, () => work(client))
}

/** Calls the daemon when there is one; null when not. */
export async function askIfRunning<T>(work: (client: NodeClient) => Promise<T>): Promise<T | null> {
  const client = new NodeClient(findPaths().socket)
  try {
    await client.daemon.health()
  } catch {
    return null
  }
  return work(client)
}
