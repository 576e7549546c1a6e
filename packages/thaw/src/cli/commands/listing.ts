import { ThawError } from '@thaw/protocol/errors'
import { ask } from '../client.js'
import { print } from '../print.js'
import { renderRun, renderRuns } from '../render/runs.js'
import { renderTree } from '../render/tree.js'

export async function ls(options: { json?: boolean }): Promise<number> {
  await print(await ask((client) => client.runs.list()), options.json, renderRuns)
  return 0
}

export async function tree(id: string | undefined, options: { json?: boolean }): Promise<number> {
  await print(await ask((client) => client.runs.tree(id ?? 'last')), options.json, renderTree)
  return 0
}

/** A run, or a checkpoint by its name. */
async function showNamed(
  id: string,
  options: { json?: boolean },
  asJson: (value: unknown) => string,
): Promise<void> {
  try {
    await print(await ask((client) => client.runs.get(id)), options.json, renderRun)
  } catch (error) {
    if (ThawError.from(error).code !== 'RUN_NOT_FOUND') throw error
    const found = await ask((client) => client.runs.checkpoint(id)).catch(() => null)
    if (found === null) throw error
    await print(found, options.json, asJson)
  }
}

export async function show(id: string, options: { json?: boolean }): Promise<number> {
  const asJson = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`
  if (id.startsWith('b_')) await print(await ask((client) => client.runs.branch(id)), options.json, asJson)
  else if (id.startsWith('c_'))
    await print(await ask((client) => client.runs.checkpoint(id)), options.json, asJson)
  else await showNamed(id, options, asJson)
  return 0
}
