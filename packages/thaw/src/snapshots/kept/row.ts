/** What is known of a snapshot before its first build. */
import type { Image } from '@thaw/protocol'
import type { SnapshotRow } from '../../store/index.js'

export function newRow(about: {
  id: string
  name: string | null
  image: Image
  parent: string | null
  prepare: string[] | null
  automatic: boolean
}): SnapshotRow {
  const { image, ...given } = about
  return {
    snapshot: {
      ...given,
      image: image.name,
      image_id: image.id,
      state: 'creating',
      reason: null,
      step: null,
      builds: 0,
      success_count: 0,
      failure_count: 0,
      consecutive_failures: 0,
      last_used_at: null,
      rebuild_at: null,
      memory_bytes: 0,
      disk_bytes: 0,
      stored_bytes: 0,
      engine: image.engine,
      engine_version: null,
      kernel: null,
      cold_seconds: null,
      build_seconds: null,
      created_at: new Date().toISOString(),
      ready_at: null,
    },
    rebuilds: 0,
    last_rebuild: null,
    rebuild_at: null,
    directory: null,
    digests: {},
  }
}
