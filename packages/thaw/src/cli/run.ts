import type { RunRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { parseRunArguments } from './run-arguments.js'
import { converse } from './session.js'

/**
 * `thaw run`: the command people wait for. Everything it loads at start is on this file's list of imports.
 *
 * @returns the exit code
 */
export async function run(argv: readonly string[]): Promise<number> {
  const given = parseRunArguments(argv)
  if (given.help) {
    const { RUN_HELP } = await import('./run-help.js')
    process.stdout.write(RUN_HELP)
    return 0
  }
  const { terminal, quiet, report } = given
  return converse({
    path: '/v1/runs/stream',
    terminal,
    quiet,
    report,
    request: (io): RunRequestInput => ({
      command: given.command,
      cwd: currentDirectory(),
      env: process.env as Record<string, string>,
      fresh: given.fresh,
      engine: given.engine as RunRequestInput['engine'],
      effects: given.effects as RunRequestInput['effects'],
      quiet: quiet ? true : null,
      umask: process.umask(),
      break: given.break,
      every: given.every,
      ...io,
    }),
  })
}

function currentDirectory(): string {
  try {
    return process.cwd()
  } catch (error) {
    const where = process.env['PWD']
    throw new ThawError(
      'DIRECTORY_GONE',
      `The current directory${where === undefined ? '' : ` ${where}`} is gone.`,
      {
        cause: error,
      },
    )
  }
}
