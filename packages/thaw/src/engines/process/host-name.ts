import { nativeProgram, startProcess, ThawError, type Scope } from '../../system/index.js'

/** Gives the sandbox of a process another host name. */
export async function renameHost(pid: number, user: boolean, name: string, scope: Scope): Promise<void> {
  const argv = [
    nativeProgram('sandbox'),
    'name',
    String(process.pid),
    String(pid),
    user ? 'user' : 'root',
    name,
  ]
  const child = await startProcess(argv, { cwd: '/', env: {}, stdio: ['ignore', 'ignore', 'ignore'] }, scope)
  const { code } = await child.exited
  if (code !== 0) throw new ThawError('ENGINE_FAILED', `The sandbox could not be named ${name}.`)
}
