/** What agents may ask for about instances, and what they are made of: snapshots, pools, images. */
import { ThawError } from '@thaw/protocol/errors'
import type { Image, Instance, Pool, Snapshot } from '@thaw/protocol'
import { excerptOf } from './excerpt.js'
import { exitText, listing } from './text.js'
import type { Ask } from './tools.js'
import { commandOf } from './words.js'

export interface CreateArguments {
  image?: string | undefined
  snapshot?: string | undefined
  pool?: string | undefined
  instance?: string | undefined
  name?: string | undefined
  count: number
  env?: Record<string, string> | undefined
  ports?: number[] | undefined
  ttl?: string | undefined
}

export interface ExecArguments {
  instance: string
  command: string
  input?: string | undefined
  cwd?: string | undefined
  user?: string | undefined
  wait_seconds: number
  max_output: number
}

export interface KeepArguments {
  image: string
  name?: string | undefined
  prepare?: string | undefined
  pool_size?: number | undefined
}

export class InstanceTools {
  readonly #ask: Ask

  constructor(ask: Ask) {
    this.#ask = ask
  }

  /** The id of the instance that is meant; null: it is something of a run. */
  async find(given: string): Promise<string | null> {
    if (/^(?:[rbco]_|last$)/.test(given)) return null
    if (given.startsWith('i_')) return given
    const instances = await this.#ask((client) => client.instances.list())
    return instances.find(({ name }) => name === given)?.id ?? null
  }

  async create(given: CreateArguments, signal: AbortSignal): Promise<string> {
    const { image, snapshot, pool, instance, name, count, env = {}, ttl = null } = given
    const ports = given.ports?.map((port) => ({ port })) ?? null
    const sources = [image, snapshot, pool, instance].filter((one) => one !== undefined)
    if (sources.length !== 1) {
      throw new ThawError(
        'INVALID_REQUEST',
        'Exactly one of image, snapshot, pool, instance is to be given.',
        {
          hint: 'The tool list tells what there is.',
        },
      )
    }
    const names = Array.from({ length: count }, (_, i) =>
      name === undefined ? null : count === 1 ? name : `${name}-${i + 1}`,
    )
    if (instance !== undefined) {
      const asked = { count, names: names.filter((one) => one !== null), ttl }
      return this.#made(await this.#ask((client) => client.instances.fork(instance, asked, { signal })))
    }
    const own = Object.keys(env).length > 0
    if (own && image === undefined) {
      throw new ThawError('INVALID_REQUEST', 'What is restored cannot be given an environment.', {
        hint: 'Give image instead, or set the variables in exec.',
      })
    }
    const settled = await Promise.allSettled(
      names.map((one) =>
        this.#ask((client) => {
          if (image !== undefined) {
            return client.instances.create({ image, name: one, env, ports, ttl }, { signal })
          }
          const taken = { name: one, ports, ttl }
          return pool === undefined
            ? client.snapshots.spawn(snapshot ?? '', taken)
            : client.pools.spawn(pool, taken)
        }),
      ),
    )
    const made = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const [failure] = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    if (failure === undefined) return this.#made(made)
    // All of them or none: whoever asks again would else have some twice.
    await this.#ask((client) => Promise.all(made.map(({ id }) => client.pools.destroy(id))))
    throw failure
  }

  async exec(given: ExecArguments, signal: AbortSignal): Promise<string> {
    const { instance, command, input = null, cwd = null, user = null, wait_seconds, max_output } = given
    const words = commandOf(command)
    if (words.length === 0) throw new ThawError('INVALID_REQUEST', 'The command is empty.')
    const late = AbortSignal.timeout(wait_seconds * 1000)
    const request = { command: words, input, cwd, user }
    const asked = this.#ask((client) =>
      client.instances.exec(instance, request, { signal: AbortSignal.any([signal, late]) }),
    )
    const done = await asked.catch((error: unknown) => {
      if (!late.aborted || signal.aborted) throw error
      throw new ThawError('TIMEOUT', `${words[0]} had not ended after ${wait_seconds} s, and was ended.`, {
        cause: error,
        hint: 'Give a longer wait_seconds, or start it in the background with its output in a file.',
      })
    })
    const parts = await Promise.all(
      (['stdout', 'stderr'] as const).map(async (name) => {
        if (done[name] === '') return []
        async function* whole() {
          yield Buffer.from(done[name])
        }
        const { text } = await excerptOf(whole(), max_output, 'narrow the command, or a larger max_output')
        return [`--- ${name}\n${text.trimEnd()}`]
      }),
    )
    const cut = done.truncated ? ['(only the first part was kept)'] : []
    return [exitText(done.exit), ...parts.flat(), ...cut].join('\n')
  }

  async keep({ image, name = undefined, prepare, pool_size }: KeepArguments): Promise<string> {
    const command = prepare === undefined ? null : ['sh', '-c', prepare]
    const request = { image, name: name ?? null, prepare: command }
    const snapshot = await this.#ask((client) => client.snapshots.create(request))
    if (snapshot.state !== 'ready' || pool_size === undefined) return snapshotLine(snapshot)
    const pool = await this.#ask((client) =>
      client.pools.create({ name: name ?? null, snapshots: [snapshot.id], size: pool_size }),
    )
    return `${snapshotLine(snapshot)}\n${poolLine(pool)}\nNext: create (pool ${pool.name}).`
  }

  async list(what: 'instances' | 'images' | 'snapshots' | 'pools'): Promise<string> {
    const lines = await this.#ask<string[]>(async (client) => {
      if (what === 'instances') return (await client.instances.list()).map(instanceLine)
      if (what === 'images') return (await client.images.list()).map(imageLine)
      if (what === 'snapshots') return (await client.snapshots.list()).map(snapshotLine)
      return (await client.pools.list()).map(poolLine)
    })
    if (lines.length === 0) return `There are no ${what}. Next: ${NEXT[what]}`
    return listing(lines, 'the newest')
  }

  async explain(id: string): Promise<string> {
    const one = await this.#ask((client) => client.instances.get(id))
    const { boot_reason, saved_seconds, from, notes, exit } = one
    const lines = [
      instanceLine(one),
      `boot: ${one.boot_method}${from === null ? '' : ` from ${from}`}${one.boot_seconds === null ? '' : `, ${one.boot_seconds.toFixed(3)} s`}${saved_seconds === null ? '' : `, ${saved_seconds.toFixed(2)} s less than a start`}`,
      ...(boot_reason === null ? [] : [`why not faster: ${boot_reason}`]),
      ...notes.map((note) => `note: ${note}`),
      ...(exit === null ? [] : [exitText(exit)]),
      ...(one.boot_method === 'cold' && /no snapshot/.test(boot_reason ?? '')
        ? [`Next: keep (image ${one.image}); instances made after it are restored.`]
        : []),
    ]
    return lines.join('\n')
  }

  /** Ends and forgets an instance, or removes a snapshot or a pool; null: it is none of these. */
  async destroy(given: string): Promise<string | null> {
    if (given.startsWith('s_')) {
      const removed = await this.#ask((client) => client.snapshots.remove(given))
      return `Removed ${removed.join(', ')}.`
    }
    if (given.startsWith('p_')) {
      const { name } = await this.#ask((client) => client.pools.remove(given))
      return `Removed the pool ${name}; what was taken from it lives on.`
    }
    const id = await this.find(given)
    if (id === null) return null
    const { name } = await this.#ask((client) => client.pools.destroy(id))
    return `Ended and forgot ${name}.`
  }

  #made(instances: readonly Instance[]): string {
    const [first] = instances
    return `${instances.map(instanceLine).join('\n')}\nNext: exec (instance ${first?.name ?? ''}), logs, stop.`
  }
}

const NEXT = {
  instances: 'create.',
  images: 'in a shell, `thaw image create FILE.json` or `thaw image import`.',
  snapshots: 'keep (an image).',
  pools: 'keep (an image, with pool_size).',
}

function instanceLine(one: Instance): string {
  const { id, name, image, state, reason, boot_method, boot_seconds, ports } = one
  const boot = boot_seconds === null ? '' : `, ${boot_method} in ${boot_seconds.toFixed(3)} s`
  const why = reason === null ? '' : ` (${reason})`
  const at = ports.map(({ port, host }) => `, port ${port} at 127.0.0.1:${host}`).join('')
  return `${name}  ${id}  of ${image}: ${state}${why}${boot}${at}`
}

function imageLine({ name, kind, command, path }: Image): string {
  return `${name}  ${kind}  ${command.join(' ').slice(0, 80)}  (${path})`
}

function snapshotLine({ id, name, image, state, reason, cold_seconds, success_count }: Snapshot): string {
  const saves = cold_seconds === null ? '' : `, spares a start of ${cold_seconds.toFixed(2)} s`
  return `${name ?? id}  ${id}  of ${image}: ${state}${reason === null ? '' : ` (${reason})`}${saves}, used ${success_count} times`
}

function poolLine({ id, name, image, size, ready, reason, take_ms }: Pool): string {
  const took = take_ms === null ? '' : `, takes of ${take_ms.p50.toFixed(1)} ms`
  return `${name}  ${id}  of ${image}: ${ready} of ${size} ready${reason === null ? '' : ` (${reason})`}${took}`
}
