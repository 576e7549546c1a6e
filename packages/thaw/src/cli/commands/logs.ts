import { ThawError } from '@thaw/protocol/errors'
import { ask } from '../client.js'
import { followBranch } from '../follow.js'
import { outputTo } from '../output.js'

export async function logs(
  id: string | undefined,
  options: { follow?: boolean; stdout?: boolean; stderr?: boolean; daemon?: boolean },
): Promise<number> {
  if (options.daemon === true) {
    if (id !== undefined) throw new ThawError('USAGE', '--daemon takes no run.')
    return (await import('./daemon-log.js')).printDaemonLog(options.follow ?? false)
  }
  if (id === undefined) throw new ThawError('USAGE', 'Name a run; `last` is the one used last.')
  const wanted =
    options.stdout === options.stderr
      ? (['stdout', 'stderr'] as const)
      : options.stdout === true
        ? (['stdout'] as const)
        : (['stderr'] as const)
  if (options.follow === true) {
    await followBranch(id, 'start', wanted)
    return 0
  }
  try {
    for (const stream of wanted) {
      const to = outputTo(stream === 'stdout' ? 1 : 2)
      await ask(async (client) => {
        for await (const chunk of client.runs.logs(id, stream)) await to.write(chunk)
      })
      await to.flush()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 141
    throw error
  }
  return 0
}
