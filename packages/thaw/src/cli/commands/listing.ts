import { ThawError } from '@thaw/protocol/errors'
import { ask } from '../client.js'
import { print } from '../print.js'
import { renderBranch, renderCheckpoint, renderRun, renderRuns } from '../render/runs.js'
import { renderTree } from '../render/tree.js'

export async function ls(options: { json?: boolean }): Promise<number> {
  await print(await ask((client) => client.runs.list()), options.json, renderRuns)
  return 0
}

export async function tree(
  id: string | undefined,
  options: { json?: boolean; all?: boolean },
): Promise<number> {
  const found = await ask((client) => client.runs.tree(id ?? 'last'))
  await print(found, options.json, (value) => renderTree(value, options.all))
  return 0
}

export async function show(id: string, { json }: { json?: boolean }): Promise<number> {
  const run = () => ask((client) => client.runs.get(id))
  const checkpoint = () => ask((client) => client.checkpoints.get(id))
  if (id.startsWith('b_')) await print(await ask((client) => client.branches.get(id)), json, renderBranch)
  else if (id.startsWith('c_')) await print(await checkpoint(), json, renderCheckpoint)
  else {
    try {
      await print(await run(), json, renderRun)
    } catch (error) {
      if (ThawError.from(error).code !== 'RUN_NOT_FOUND') throw error
      // A checkpoint by its name; what is neither was meant as a run.
      const named = await checkpoint().catch(() => null)
      if (named === null) throw error
      await print(named, json, renderCheckpoint)
    }
  }
  return 0
}
