import { ask } from '../client.js'
import { print } from '../print.js'
import { checkpointInLine } from '../render/tree.js'

/** Takes a checkpoint of a live run. */
export async function checkpoint(id: string, options: { name?: string; json?: boolean }): Promise<number> {
  const taken = await ask((client) => client.runs.takeCheckpoint(id, options.name ?? null))
  await print(taken, options.json, checkpointInLine)
  return 0
}
