/** Copies of whole directories. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { startProcess, ThawError, type Scope } from '../system/index.js'

/** Copies what is in a directory, with owners, modes, links, sockets and holes. */
export async function copyTree(from: string, to: string, scope: Scope): Promise<void> {
  if (!existsSync(from) || readdirSync(from).length === 0) return
  mkdirSync(to, { recursive: true })
  let said = ''
  const argv = ['cp', '-a', '--reflink=auto', '--sparse=auto', '--', `${from}/.`, to]
  const child = await startProcess(argv, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] }, scope)
  for await (const chunk of child.stderr ?? []) said = (said + String(chunk)).slice(-1000)
  const { code } = await child.exited
  if (code === 0) return
  const full = said.includes('No space left')
  throw new ThawError(
    full ? 'DISK_FULL' : 'ENGINE_FAILED',
    `${from} could not be copied (${said.trim().split('\n').at(-1)}).`,
  )
}
