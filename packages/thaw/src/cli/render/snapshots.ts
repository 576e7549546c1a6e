import type { Snapshot } from '@thaw/protocol'
import { fields, some, table } from './table.js'
import { ago, bytes, command, seconds } from './units.js'

export function renderSnapshots(snapshots: readonly Snapshot[]): string {
  if (snapshots.length === 0) return 'No snapshots. `thaw snapshot create IMAGE` makes one.\n'
  return table(
    ['SNAPSHOT', 'NAME', 'IMAGE', 'STATE', 'USED', 'FAILED', 'SIZE', 'SPARES', 'LAST USED'],
    snapshots.map((one) => [
      one.id,
      one.name ?? '',
      one.image,
      one.step === null ? one.state : `${one.state}: ${one.step}`,
      String(one.success_count),
      String(one.failure_count),
      one.stored_bytes === 0 ? '' : bytes(one.stored_bytes),
      one.cold_seconds === null ? '' : seconds(one.cold_seconds),
      one.last_used_at === null ? 'never' : ago(one.last_used_at),
    ]),
  )
}

export function renderSnapshot(one: Snapshot): string {
  const { engine_version, kernel, cold_seconds, build_seconds, memory_bytes, disk_bytes, stored_bytes } = one
  return fields([
    ['snapshot', one.id],
    ...some('name', one.name),
    ['image', one.image],
    ...some('parent', one.parent),
    ...some('prepared by', one.prepare === null ? null : command(one.prepare, 200)),
    ['state', `${one.state}${one.reason === null ? '' : `: ${one.reason}`}`],
    ...some('step', one.step),
    ...some('rebuilt at', one.rebuild_at),
    [
      'uses',
      `${one.success_count}, ${one.failure_count} failures, of these ${one.consecutive_failures} last in a row`,
    ],
    ...some('last used', one.last_used_at),
    ['builds', `${one.builds}${build_seconds === null ? '' : `, the last in ${seconds(build_seconds)}`}`],
    ...some('spares', cold_seconds === null ? null : `a start of ${seconds(cold_seconds)}`),
    ['size', `${bytes(memory_bytes)} memory, ${bytes(disk_bytes)} files, ${bytes(stored_bytes)} on disk`],
    ...some('made with', engine_version === null ? null : `criu ${engine_version}, kernel ${kernel ?? ''}`),
    ...some('directory', one.path),
    ['made', one.created_at],
  ])
}
