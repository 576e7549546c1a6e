import type { Instance, InstanceRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { createReadStream, createWriteStream, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { askProducts as ask } from '../client.js'
import { execAt, shellAt } from '../inside.js'
import { outputTo } from '../output.js'
import { print } from '../print.js'
import { renderCheckpoint, renderInstance, renderInstances, renderStats } from '../render/instances.js'

interface Json {
  json?: boolean
}

interface Life {
  ttl?: string
  idleTtl?: string
}

export interface CreateOptions extends Json, Life {
  name?: string
  container?: string
  env?: string[]
  publish?: string[]
  file?: string[]
  net?: string
  user?: string
  cpus?: string
  memory?: string
  pids?: string
  wait?: boolean
}

export async function create(image: string, options: CreateOptions): Promise<number> {
  const { name, env = [], publish = [], file = [], net, wait = true, json } = options
  const { readFileSync } = await import('node:fs')
  const request: InstanceRequestInput = {
    image,
    name: name ?? null,
    container: options.container ?? null,
    env: environment(env),
    ports: publish.length === 0 ? null : publish.map(portOf),
    files: file.map((one) => {
      const [from, to] = split(one, ':', '--file wants FILE:PATH')
      const content = readFileSync(from).toString('base64')
      return { path: to, content, encoding: 'base64', mode: statSync(from).mode & 0o777 }
    }),
    user: options.user ?? null,
    limits: limits(options),
    ...life(options),
    ...(net === undefined ? {} : { network: net as 'private' }),
  }
  const leaving = new AbortController()
  process.once('SIGINT', () => leaving.abort())
  const made = await ask((client) => client.instances.create(request, { wait, signal: leaving.signal }))
  await print(made, json, renderInstance)
  return 0
}

export async function ls({ json }: Json): Promise<number> {
  await print(await ask((client) => client.instances.list()), json, renderInstances)
  return 0
}

export async function show(id: string, { json }: Json): Promise<number> {
  const instance = await ask((client) => client.instances.get(id))
  const checkpoints = await ask((client) => client.instances.checkpoints(instance.id))
  await print({ ...instance, checkpoints }, json, (value) => renderInstance(value, value.checkpoints))
  return 0
}

export function exec(
  id: string,
  command: string[],
  options: { env?: string[]; cwd?: string; user?: string; terminal?: boolean },
): Promise<number> {
  const { env = [], ...rest } = options
  return execAt(streamOf(id), command, { ...rest, env: environment(env) })
}

/** A shell of its own in it, with this terminal. */
export function shell(id: string, options: { user?: string }): Promise<number> {
  return shellAt(streamOf(id), options)
}

const streamOf = (id: string) => `/v1/instances/${encodeURIComponent(id)}/exec/stream`

/** A file into it or out of it: one side is NAME:PATH. */
export async function cp(from: string, to: string): Promise<number> {
  const [source, target] = [sideOf(from), sideOf(to)]
  if ((source === null) === (target === null)) {
    throw new ThawError('USAGE', 'One of the two is a file here, the other NAME:/PATH in an instance.')
  }
  if (target !== null) {
    const { mode } = statSync(from)
    const path = target.path.endsWith('/') ? target.path + basename(from) : target.path
    await ask((client) => client.instances.writeFile(target.id, path, createReadStream(from), mode & 0o777))
    return 0
  }
  const { id, path } = source as Side
  const file = statSync(to, { throwIfNoEntry: false })?.isDirectory() === true ? join(to, basename(path)) : to
  await ask(async (client) => pipeline(client.instances.readFile(id, path), createWriteStream(file)))
  return 0
}

export async function logs(
  id: string,
  { follow = false, tail }: { follow?: boolean; tail?: string },
): Promise<number> {
  const outputs = outputTo(1)
  try {
    await ask(async (client) => {
      const how = { follow, ...(tail === undefined ? {} : { tail: Number(tail) }) }
      for await (const chunk of client.instances.logs(id, how)) await outputs.write(chunk)
    })
    await outputs.flush()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 141
    throw error
  }
  return 0
}

export async function stats(id: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.instances.stats(id)), json, renderStats)
  return 0
}

export const pause = (ids: string[], options: Json) =>
  each(ids, options, (id) => ask((client) => client.instances.pause(id)))

export const resume = (ids: string[], options: Json) =>
  each(ids, options, (id) => ask((client) => client.instances.resume(id)))

export const stop = (ids: string[], { time, ...options }: Json & { time?: string }) =>
  each(ids, options, (id) =>
    ask((client) => client.instances.stop(id, time === undefined ? {} : { grace: time })),
  )

export async function checkpoint(
  id: string,
  { name, tcp, json }: Json & { name?: string; tcp?: string },
): Promise<number> {
  const how = { name: name ?? null, tcp: (tcp ?? null) as 'keep' | 'close' | null }
  const taken = await ask((client) => client.instances.checkpoint(id, how))
  await print(taken, json, renderCheckpoint)
  return 0
}

export async function fork(
  id: string,
  options: Json & Life & { count?: string; checkpoint?: string; name?: string[]; tcp?: string },
): Promise<number> {
  const { count, checkpoint: from = null, name = [], tcp, json } = options
  const made = await ask((client) =>
    client.instances.fork(id, {
      count: Number(count ?? Math.max(1, name.length)),
      checkpoint: from,
      names: name,
      tcp: (tcp ?? null) as 'keep' | 'close' | null,
      ...life(options),
    }),
  )
  await print(made, json, renderInstances)
  return 0
}

/** Instances, and checkpoints of them. */
export async function rm(
  ids: string[],
  { force = false, cascade = false, json }: Json & { force?: boolean; cascade?: boolean },
): Promise<number> {
  const removed: string[] = []
  for (const id of ids) {
    const one = id.startsWith('ic_')
      ? await ask((client) => client.instances.removeCheckpoint(id))
      : await ask((client) => client.instances.remove(id, { force, cascade }))
    removed.push(one.name ?? one.id)
  }
  await print({ removed }, json, () => removed.map((name) => `removed ${name}\n`).join(''))
  return 0
}

async function each(ids: string[], { json }: Json, work: (id: string) => Promise<Instance>): Promise<number> {
  const done: Instance[] = []
  for (const id of ids) done.push(await work(id))
  await print(done, json, (all) => all.map(({ name, state }) => `${name} is ${state}\n`).join(''))
  return 0
}

interface Side {
  id: string
  path: string
}

function sideOf(text: string): Side | null {
  const [, id = '', path = ''] = /^([A-Za-z0-9][\w-]*):(\/.*)$/.exec(text) ?? []
  return id === '' ? null : { id, path }
}

/** `8080:80` is port 80 inside at 8080 here, `80` one that is free. */
function portOf(text: string): { port: number; host: number } {
  const [, host, port] = /^(?:(\d+):)?(\d+)$/.exec(text) ?? []
  if (port === undefined) throw new ThawError('USAGE', `-p wants PORT or HERE:PORT; not ${text}.`)
  return { port: Number(port), host: Number(host ?? 0) }
}

function limits({ cpus, memory, pids }: CreateOptions): InstanceRequestInput['limits'] {
  if (cpus === undefined && memory === undefined && pids === undefined) return null
  return {
    cpu: cpus === undefined ? null : number('--cpus', cpus),
    memory: memory ?? null,
    pids: pids === undefined ? null : number('--pids', pids),
  }
}

function number(option: string, text: string): number {
  if (!/^\d+(?:\.\d+)?$/.test(text)) throw new ThawError('USAGE', `${option} wants a number; not ${text}.`)
  return Number(text)
}

function environment(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(list.map((one) => split(one, '=', '-e wants NAME=VALUE')))
}

function split(text: string, by: string, wanted: string): [string, string] {
  const at = text.indexOf(by)
  if (at < 1) throw new ThawError('USAGE', `${wanted}; not ${text}.`)
  return [text.slice(0, at), text.slice(at + 1)]
}

function life({ ttl, idleTtl }: Life) {
  return { ttl: ttl ?? null, idle_ttl: idleTtl ?? null }
}
