import type { Pool } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { askProducts as ask } from '../client.js'
import { print } from '../print.js'
import { renderInstance } from '../render/instances.js'
import { renderPool, renderPools } from '../render/pools.js'

interface Json {
  json?: boolean
}

export async function create(
  snapshots: string[],
  options: Json & { name?: string; size?: string; refresh?: string; wait?: boolean },
): Promise<number> {
  const { name = null, size, refresh, wait = true, json } = options
  const request = {
    name,
    snapshots,
    size: size === undefined ? null : numberOf(size),
    refresh_seconds: refresh ?? null,
  }
  await print(await ask((client) => client.pools.create(request, { wait })), json, renderPool)
  return 0
}

export async function ls({ json }: Json): Promise<number> {
  await print(await ask((client) => client.pools.list()), json, renderPools)
  return 0
}

export async function show(id: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.pools.get(id)), json, renderPool)
  return 0
}

/** A member, as an instance. */
export async function take(id: string, { name, json }: Json & { name?: string }): Promise<number> {
  const taken = await ask((client) => client.pools.spawn(id, { name: name ?? null }))
  await print(taken, json, renderInstance)
  return 0
}

export async function resize(id: string, size: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.pools.resize(id, numberOf(size))), json, renderPool)
  return 0
}

export async function drain(id: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.pools.drain(id)), json, renderPool)
  return 0
}

export async function refresh(id: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.pools.refresh(id)), json, renderPool)
  return 0
}

export async function rm(ids: string[], { json }: Json): Promise<number> {
  const removed: Pool[] = []
  for (const id of ids) removed.push(await ask((client) => client.pools.remove(id)))
  const names = removed.map(({ name }) => name)
  await print({ removed: names }, json, () => names.map((name) => `removed ${name}\n`).join(''))
  return 0
}

function numberOf(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new ThawError('USAGE', `${text} is no number of members.`)
}
