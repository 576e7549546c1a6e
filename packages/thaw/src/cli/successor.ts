import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../system/assets.js'
import { startDetached } from '../system/spawn.js'

/** Has a process stand by for the next command (standby.ts). It is under way when this returns, not when it resolves. */
export async function standByNext(): Promise<void> {
  const program = join(packageRoot(), 'dist', 'standby.js')
  if (!existsSync(program)) return
  // What these do to Node is meant for the user's own programs.
  const { NODE_OPTIONS: _options, NODE_EXTRA_CA_CERTS: _certificates, ...env } = process.env
  const child = await startDetached([process.execPath, program], { cwd: '/', env })
  child.unref()
}
