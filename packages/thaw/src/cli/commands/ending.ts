import { ask } from '../client.js'
import { print } from '../print.js'
import { bytes } from '../render/units.js'

export async function stop(ids: readonly string[], options: { json?: boolean }): Promise<number> {
  const stopped = (await Promise.all(ids.map((id) => ask((client) => client.runs.stop(id))))).flat()
  await print({ stopped }, options.json, () =>
    stopped.length === 0 ? 'Nothing of it was running.\n' : stopped.map((id) => `stopped ${id}\n`).join(''),
  )
  return 0
}

export async function rm(
  ids: readonly string[],
  options: { json?: boolean; cascade?: boolean; force?: boolean },
): Promise<number> {
  const removed: string[] = []
  for (const id of ids) {
    removed.push(
      ...(await ask((client) =>
        client.runs.remove(id, { cascade: options.cascade ?? false, force: options.force ?? false }),
      )),
    )
  }
  await print({ removed }, options.json, () => removed.map((id) => `removed ${id}\n`).join(''))
  return 0
}

export async function gc(options: { json?: boolean }): Promise<number> {
  await print(
    await ask((client) => client.runs.collect()),
    options.json,
    (done) =>
      `${done.checkpoints} checkpoints ended, ${done.records} records removed, ${bytes(done.bytes)} freed\n`,
  )
  return 0
}
