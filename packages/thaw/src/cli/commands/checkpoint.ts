import { resolve } from 'node:path'
import { ask } from '../client.js'
import { print } from '../print.js'
import { checkpointInLine } from '../render/tree.js'
import { bytes } from '../render/units.js'

/** Takes a checkpoint of a live run. */
export async function checkpoint(id: string, options: { name?: string; json?: boolean }): Promise<number> {
  const taken = await ask((client) => client.runs.takeCheckpoint(id, options.name ?? null))
  await print(taken, options.json, checkpointInLine)
  return 0
}

/** Writes a checkpoint into a file. */
export async function exportTo(id: string, file: string, options: { json?: boolean }): Promise<number> {
  const done = await ask((client) => client.runs.export(id, resolve(file)))
  const secret =
    'It holds the memory and the environment of the program, with every secret in them; so only you may read it.'
  await print(
    done,
    options.json,
    () => `exported ${done.checkpoint} to ${done.file} (${bytes(done.bytes)})\n${secret}\n`,
  )
  return 0
}

/** Makes a checkpoint of a file. */
export async function importFrom(file: string, options: { json?: boolean }): Promise<number> {
  const { checkpoint: made, warnings } = await ask((client) => client.runs.import(resolve(file)))
  await print({ checkpoint: made, warnings }, options.json, () =>
    [
      `imported ${made.id}: go on from it with \`thaw resume ${made.id}\``,
      ...warnings.map((warning) => `warning: ${warning}`),
      '',
    ].join('\n'),
  )
  return 0
}
