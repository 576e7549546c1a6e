import { startProcess, withTimeout, type Scope } from '../../system/index.js'

/** Milliseconds. */
const TIMEOUT = 10_000

/** What a command prints, without its last line's end; null when it fails. Has a deadline of its own. */
export async function ask(
  command: string[],
  cwd: string,
  env: Record<string, string>,
  scope: Scope,
): Promise<string | null> {
  const child = await startProcess(
    command,
    { cwd, env, stdio: ['ignore', 'pipe', 'ignore'] },
    withTimeout({ signal: new AbortController().signal, log: scope.log }, TIMEOUT),
  )
  const chunks: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  const closed = new Promise((resolve) => child.stdout?.once('close', resolve))
  const exit = await child.exited
  await closed
  return exit.code === 0 ? Buffer.concat(chunks).toString('utf8').trimEnd() : null
}
