import type { Image, Instance, InstanceCheckpoint, InstanceStats } from '@thaw/protocol'
import { fields, some, table } from './table.js'
import { ago, bytes, command, exit, seconds } from './units.js'

export function renderImages(images: readonly Image[]): string {
  if (images.length === 0) return 'No images yet. See `thaw help image`.\n'
  return table(
    ['IMAGE', 'ID', 'KIND', 'COMMAND', 'SIZE', 'MADE'],
    images.map((image) => [
      image.name,
      image.id,
      image.kind,
      command(image.command, 44),
      image.imported === null ? '' : bytes(image.imported.bytes),
      ago(image.created_at),
    ]),
  )
}

export function renderImage(image: Image): string {
  const { imported } = image
  return fields([
    ['image', image.name],
    ['id', image.id],
    ['kind', image.kind === 'rootfs' ? 'a root file system' : 'a command in a directory of this machine'],
    ['path', image.path],
    ['command', command(image.command, 10_000)],
    ['directory', image.cwd],
    ...Object.entries(image.env).map(([name, value]): [string, string] => ['variable', `${name}=${value}`]),
    ...some('user', image.user),
    ...some('ports', image.ports.join(', ')),
    ...some('ready when', image.readiness === null ? null : JSON.stringify(image.readiness)),
    ...some('limits', limitsText(image.limits)),
    ...(imported === null
      ? []
      : fieldsOf({
          imported: `${imported.format}, ${imported.layers} layers, ${imported.entries} entries, ${bytes(imported.bytes)}`,
          owners: imported.owners ? 'kept' : 'not kept: that takes root',
        })),
    ...(imported?.left_out ?? []).map((what): [string, string] => ['left out', what]),
    ['made', image.created_at],
  ])
}

function limitsText({ cpu, memory, pids }: Image['limits']): string {
  return [
    ...(cpu === null ? [] : [`${cpu} processors`]),
    ...(memory === null ? [] : [`${bytes(memory)} memory`]),
    ...(pids === null ? [] : [`${pids} processes`]),
  ].join(', ')
}

export function renderInstances(instances: readonly Instance[]): string {
  if (instances.length === 0) return 'No instances. `thaw instance create IMAGE` starts one.\n'
  return table(
    ['INSTANCE', 'IMAGE', 'STATE', 'BOOT', 'PORTS', 'MADE', 'REASON'],
    instances.map((one) => [
      one.name,
      one.image,
      one.state,
      one.boot_method,
      one.ports.map(({ port, host }) => `${host}:${port}`).join(' '),
      ago(one.created_at),
      one.reason ?? '',
    ]),
  )
}

export function renderInstance(one: Instance, checkpoints: readonly InstanceCheckpoint[] = []): string {
  return fields([
    ['instance', one.name],
    ['id', one.id],
    ['image', one.image],
    ['state', `${one.state}${one.reason === null ? '' : `: ${one.reason}`} ${exit(one.exit)}`.trim()],
    ['boot', `${one.boot_method}${one.boot_seconds === null ? '' : `, ${seconds(one.boot_seconds)}`}`],
    ...some('restored from', one.from),
    ...some('saved', one.saved_seconds === null ? null : seconds(one.saved_seconds)),
    ...some('not faster', one.boot_reason),
    ['network', one.network],
    ...some('limits', limitsText(one.limits)),
    ...one.ports.map(({ port, host }): [string, string] => ['port', `127.0.0.1:${host} is its ${port}`]),
    ...some('pid', one.pid === null ? null : String(one.pid)),
    ...one.notes.map((note): [string, string] => ['note', note]),
    ...some('until', one.expires_at),
    ['made', one.created_at],
    ...some('ended', one.ended_at),
    ...checkpoints.map((each): [string, string] => [
      'checkpoint',
      `${each.id}${each.name === null ? '' : ` (${each.name})`}, ${bytes(each.bytes)}, ${ago(each.created_at)}`,
    ]),
  ])
}

export function renderCheckpoint({ id, name, bytes: size, seconds: took }: InstanceCheckpoint): string {
  return `${id}${name === null ? '' : ` (${name})`}: ${bytes(size)}, ${seconds(took)}\n`
}

export function renderStats(stats: InstanceStats): string {
  return fields([
    ['processor', seconds(stats.cpu_seconds)],
    ['memory', bytes(stats.memory_bytes)],
    ['processes', `${stats.pids}, ${stats.threads} threads`],
    ['counted by', stats.source],
  ])
}

const fieldsOf = (values: Record<string, string>): [string, string][] => Object.entries(values)
