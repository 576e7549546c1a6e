import type { BuildStep, Snapshot } from '@thaw/protocol'
import type { Database, Row } from './database.js'

/** A snapshot as it is kept. */
export interface SnapshotRow {
  snapshot: Omit<Snapshot, 'step' | 'path'> & { step: BuildStep | null }
  /** Rebuilds by itself, for the back-off; times in milliseconds. */
  rebuilds: number
  last_rebuild: number | null
  rebuild_at: number | null
  /** Directory of the process image, below that of all snapshots; null: there is none to restore. */
  directory: string | null
  /** SHA-256 of every file in it, by its path in the directory. */
  digests: Record<string, string>
}

export interface PoolRow {
  id: string
  name: string
  image: string
  image_id: string
  /** Ids of snapshots. */
  snapshots: string[]
  size: number
  refresh_seconds: number
  drained: boolean
  created_at: string
}

export class SnapshotTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** Inserts it, or updates the one with this id. */
  record(row: SnapshotRow): void {
    const { id, name, created_at } = row.snapshot
    this.#db.run(
      `INSERT INTO snapshots (id, name, data, created_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, data = excluded.data`,
      [id, name, JSON.stringify(row), Date.parse(created_at)],
    )
  }

  /** Newest first. */
  list(): SnapshotRow[] {
    return this.#db.all('SELECT data FROM snapshots ORDER BY created_at DESC, id').map(parse<SnapshotRow>)
  }

  forget(id: string): void {
    this.#db.run('DELETE FROM snapshots WHERE id = ?', [id])
  }

  /** Counts one more use of an image; returns how often it was used. */
  countUse(image: string): number {
    this.#db.run(
      'INSERT INTO image_uses (image, count) VALUES (?, 1) ON CONFLICT (image) DO UPDATE SET count = count + 1',
      [image],
    )
    return Number(this.#db.get('SELECT count FROM image_uses WHERE image = ?', [image])?.['count'] ?? 0)
  }
}

export class PoolTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** Inserts it, or updates the one with this id. */
  record(row: PoolRow): void {
    this.#db.run(
      `INSERT INTO pools (id, name, data, created_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET data = excluded.data`,
      [row.id, row.name, JSON.stringify(row), Date.parse(row.created_at)],
    )
  }

  /** Oldest first. */
  list(): PoolRow[] {
    return this.#db.all('SELECT data FROM pools ORDER BY created_at, id').map(parse<PoolRow>)
  }

  forget(id: string): void {
    this.#db.run('DELETE FROM pools WHERE id = ?', [id])
  }
}

function parse<T>(row: Row): T {
  return JSON.parse(String(row['data'])) as T
}
