import { ThawError } from '@thaw/protocol/errors'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findPaths, preparePaths } from '../../system/paths.js'
import { print } from '../print.js'
import { authorizedKeys, hostKey } from '../ssh/keys.js'
import { serveSsh } from '../ssh/server.js'

interface SshOptions {
  address?: string
  port?: string
  keys?: string
  json?: boolean
}

/** Until it is ended. */
export async function sshServer(options: SshOptions): Promise<number> {
  const { address = '127.0.0.1', port = '2222', json } = options
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new ThawError('USAGE', `--port wants a number up to 65535; not ${port}.`)
  }
  const keys = options.keys ?? join(homedir(), '.ssh', 'authorized_keys')
  const paths = findPaths()
  preparePaths(paths)
  if (authorizedKeys(keys).keys.length === 0) {
    throw new ThawError('FILE_UNREADABLE', `${keys} names no key: nobody could come in.`)
  }
  const log = (line: string) => process.stderr.write(`thaw: ${line}\n`)
  await using server = await serveSsh({
    paths,
    hostKey: await hostKey(paths.state),
    keys,
    address,
    port: Number(port),
    log,
  })
  const told = { address, port: server.port, keys }
  await print(told, json, () => `ssh -p ${server.port} SERVICE@${address}\n`)
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => resolve())
  })
  return 0
}
