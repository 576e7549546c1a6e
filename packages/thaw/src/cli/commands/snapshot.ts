import { resolve } from 'node:path'
import { ThawError } from '@thaw/protocol/errors'
import { askProducts as ask } from '../client.js'
import { print } from '../print.js'
import { renderInstance } from '../render/instances.js'
import { renderSnapshot, renderSnapshots } from '../render/snapshots.js'
import { bytes, seconds } from '../render/units.js'

interface Json {
  json?: boolean
}

/** Has one made, and tells its steps. */
export async function create(
  image: string | undefined,
  options: Json & { name?: string; from?: string; prepare?: string; wait?: boolean },
): Promise<number> {
  const { name = null, from = null, prepare, wait = true, json } = options
  const request = {
    image: image ?? null,
    from,
    name,
    prepare: prepare === undefined ? null : ['/bin/sh', '-c', prepare],
  }
  const begun = await ask((client) => client.snapshots.create(request, { wait: 0 }))
  if (!wait) {
    await print(begun, json, renderSnapshot)
    return 0
  }
  await ask(async (client) => {
    for await (const { text } of client.snapshots.lines(begun.id, { follow: true })) {
      if (json !== true) process.stderr.write(`${text}\n`)
    }
  })
  const made = await ask((client) => client.snapshots.get(begun.id))
  if (made.state !== 'ready') throw new ThawError('SNAPSHOT_FAILED', made.reason ?? `It is ${made.state}.`)
  await print(made, json, renderSnapshot)
  return 0
}

export async function ls({ json }: Json): Promise<number> {
  await print(await ask((client) => client.snapshots.list()), json, renderSnapshots)
  return 0
}

export async function show(id: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.snapshots.get(id)), json, renderSnapshot)
  return 0
}

export async function logs(id: string, { follow = false }: { follow?: boolean }): Promise<number> {
  await ask(async (client) => {
    for await (const { time, text } of client.snapshots.lines(id, { follow })) {
      process.stdout.write(`${time} ${text}\n`)
    }
  })
  return 0
}

export async function rebuild(id: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.snapshots.rebuild(id)), json, renderSnapshot)
  return 0
}

/** Exit code 1: it is not sound. */
export async function verify(id: string, { json }: Json): Promise<number> {
  const found = await ask((client) => client.snapshots.verify(id))
  await print(found, json, ({ ok, reason, seconds: took }) =>
    ok ? `${id} is whole and becomes ready: ${seconds(took)}\n` : `${id}: ${reason}\n`,
  )
  return found.ok ? 0 : 1
}

export async function start(id: string, { name, json }: Json & { name?: string }): Promise<number> {
  const made = await ask((client) => client.snapshots.spawn(id, { name: name ?? null }))
  await print(made, json, renderInstance)
  return 0
}

/** Writes one into a file. */
export async function exportTo(id: string, file: string, { json }: Json): Promise<number> {
  const done = await ask((client) => client.snapshots.export(id, resolve(file)))
  const secret =
    'It holds the memory and the disk of the machine, with every secret in them; so only you may read it.'
  await print(
    done,
    json,
    () => `exported ${done.snapshot} to ${done.file} (${bytes(done.bytes)})\n${secret}\n`,
  )
  return 0
}

/** Makes one of a file. */
export async function importFrom(file: string, { name, json }: Json & { name?: string }): Promise<number> {
  const made = await ask((client) => client.snapshots.import(resolve(file), name ?? null))
  await print(made, json, ({ snapshot, warnings }) =>
    [renderSnapshot(snapshot), ...warnings.map((warning) => `warning: ${warning}\n`)].join(''),
  )
  return 0
}

export async function rm(
  ids: string[],
  { cascade = false, force = false, json }: Json & { cascade?: boolean; force?: boolean },
): Promise<number> {
  const removed: string[] = []
  for (const id of ids)
    removed.push(...(await ask((client) => client.snapshots.remove(id, { cascade, force }))))
  await print({ removed }, json, () => removed.map((id) => `removed ${id}\n`).join(''))
  return 0
}
