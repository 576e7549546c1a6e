import type { Instance, InstanceRequest, InstanceCheckpoint } from '@thaw/protocol'
import type { Database, Row } from './database.js'

export interface InstanceRow {
  instance: Instance
  request: InstanceRequest
}

export interface InstanceCheckpointRow {
  checkpoint: InstanceCheckpoint
  /** Directory of the process image. */
  directory: string
  /** Of the instance it was taken of: what its clones are given as well. */
  request: InstanceRequest
}

/** Instances and their checkpoints. */
export class InstanceTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** Inserts the instance, or updates the one with this id. */
  record({ instance, request }: InstanceRow): void {
    this.#db.run(
      `INSERT INTO instances (id, name, state, data, request, created_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET state = excluded.state, data = excluded.data`,
      [
        instance.id,
        instance.name,
        instance.state,
        JSON.stringify(instance),
        JSON.stringify(request),
        Date.parse(instance.created_at),
      ],
    )
  }

  /** Newest first. */
  list(): InstanceRow[] {
    return this.#db.all('SELECT data, request FROM instances ORDER BY created_at DESC, id').map(toInstance)
  }

  hasName(name: string): boolean {
    return this.#db.get('SELECT 1 FROM instances WHERE name = ?', [name]) !== undefined
  }

  forget(id: string): void {
    this.#db.run('DELETE FROM instances WHERE id = ?', [id])
  }

  recordCheckpoint({ checkpoint, directory, request }: InstanceCheckpointRow): void {
    this.#db.run(
      `INSERT INTO instance_checkpoints (id, instance, name, directory, data, request, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [
        checkpoint.id,
        checkpoint.instance,
        checkpoint.name,
        directory,
        JSON.stringify(checkpoint),
        JSON.stringify(request),
        Date.parse(checkpoint.created_at),
      ],
    )
  }

  /** Newest first. */
  listCheckpoints(): InstanceCheckpointRow[] {
    return this.#db
      .all('SELECT directory, data, request FROM instance_checkpoints ORDER BY created_at DESC, id')
      .map((row) => ({
        checkpoint: JSON.parse(String(row['data'])) as InstanceCheckpoint,
        directory: String(row['directory']),
        request: JSON.parse(String(row['request'])) as InstanceRequest,
      }))
  }

  forgetCheckpoint(id: string): void {
    this.#db.run('DELETE FROM instance_checkpoints WHERE id = ?', [id])
  }
}

/** What rows of an earlier version do not say. */
const OLDER: object = { container: null }

function toInstance(row: Row): InstanceRow {
  return {
    instance: { ...OLDER, ...(JSON.parse(String(row['data'])) as Instance) },
    request: { ...OLDER, ...(JSON.parse(String(row['request'])) as InstanceRequest) },
  }
}
