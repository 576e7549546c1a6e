import { ThawError } from '@thaw/protocol/errors'
import { Client, fetchTransport, NodeClient, type Transport } from '@thaw/sdk/node'
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

/**
 * How to reach the daemon of another machine, where THAW_URL names one; null: the one of this machine is meant.
 *
 * @throws ThawError USAGE
 */
export async function remoteTransport(): Promise<Transport | null> {
  const url = process.env['THAW_URL'] ?? ''
  if (url === '') return null
  if (!/^https?:\/\/[^\s/]/.test(url) || !URL.canParse(url)) {
    throw new ThawError('USAGE', `THAW_URL wants an address as http://127.0.0.1:18080; not ${url}.`)
  }
  const { WebSocket } = await import('ws')
  return fetchTransport(url, process.env['THAW_TOKEN'] || undefined, { WebSocket: WebSocket as never })
}

/** For verbs of images, instances, snapshots and pools, which may be those of another machine. */
export async function askProducts<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const remote = await remoteTransport()
  return remote === null ? ask(work) : work(new Client(remote))
}
