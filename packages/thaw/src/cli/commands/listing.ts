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

export async function show(id: string, options: { json?: boolean }): Promise<number> {
  const asJson = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`
  if (id.startsWith('b_')) await print(await ask((client) => client.runs.branch(id)), options.json, asJson)
  else if (id.startsWith('c_'))
    await print(await ask((client) => client.runs.checkpoint(id)), options.json, asJson)
  else await print(await ask((client) => client.runs.get(id)), options.json, renderRun)
  return 0
}
