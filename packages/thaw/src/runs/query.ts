/** Child processes of a program that only ask something: their answers are inputs. */
import { createHash } from 'node:crypto'
import { startProcess, withTimeout, type Scope } from '../system/index.js'

/** Milliseconds. */
const QUERY_TIMEOUT = 5000

export function queryKey(argv: string[], cwd: string): string {
  return JSON.stringify([cwd, argv])
}

/** Digest of what the command answers now; null when it cannot be asked. */
export async function askQuery(
  argv: string[],
  cwd: string,
  env: Record<string, string>,
  scope: Scope,
): Promise<string | null> {
  try {
    const limited = withTimeout(scope, QUERY_TIMEOUT)
    const child = await startProcess(argv, { cwd, env, stdio: ['ignore', 'pipe', 'ignore'] }, limited)
    const hash = createHash('sha1')
    child.stdout?.on('data', (chunk: Buffer) => hash.update(chunk))
    const closed = new Promise((resolve) => child.stdout?.once('close', resolve))
    const { code, signal, timedOut } = await child.exited
    await closed
    return timedOut ? null : hash.update(`\0${code ?? signal ?? ''}`).digest('hex')
  } catch {
    return null
  }
}
