import { RunStream } from '@thaw/sdk/run-stream'
import { exitCode } from '../system/exit-code.js'
import { BUILD } from '../version.js'
import { parseRunArguments } from './run-arguments.js'
import { ownStart, runOnce } from './run.js'

const PASSED = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const

/**
 * In the place of a Python program below a launcher (agents/python/launcher): a run of its own that says nothing and
 * starts no daemon; and where thaw fails before the program has begun, the program as it was.
 *
 * @returns the exit code; a program that a signal ended ends this process by the same signal
 */
export async function below([launch = '', socket = '', ...words]: readonly string[]): Promise<number> {
  const given = { ...parseRunArguments(words), quiet: true }
  let begun = false
  let exit: { code: number | null; signal: string | null } | null
  try {
    const { end } = await runOnce(given, (request, handlers) =>
      RunStream.open(
        socket,
        '/v1/runs/stream',
        { ...request, below: launch },
        { ...handlers, onStarted: () => (begun = true) },
        BUILD,
      ),
    )
    exit = end.report.exit
  } catch (error) {
    if (begun) throw error
    for (const name of PASSED) process.removeAllListeners(name)
    const { runInPlace } = await import('../system/spawn.js')
    exit = await runInPlace(given.command, PASSED, ownStart())
  }
  if (exit === null) return 0
  if (exit.signal !== null) await endBy(exit.signal as NodeJS.Signals)
  return exitCode(exit)
}

/** Whoever waits for this process looks at how it ended. */
async function endBy(signal: NodeJS.Signals): Promise<void> {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  await new Promise((resolve) => setTimeout(resolve, 100))
}
