import { exitCode } from '../../system/exit-code.js'
import { followBranch } from '../follow.js'

/** Shows the output of a live run until it ends. Leaving (Ctrl-C) does not disturb it. */
export async function attach(id: string): Promise<number> {
  const { exit } = await followBranch(id, 'now')
  return exit === null ? 0 : exitCode(exit)
}
