import type { ServiceRequest } from '@thaw/protocol'
import type { Database } from './database.js'

/** A service as it is kept. */
export interface ServiceRow {
  request: Omit<ServiceRequest, 'replace'>
  created_at: string
  /** What it is when it is frozen; null: it is not. */
  frozen: FrozenService | null
}

export interface FrozenService {
  /** Of the process image, below that of all services. */
  directory: string
  /** Digests of what it had loaded, by path. */
  files: Record<string, string>
  callables: unknown
  /** What the processes are known by; of the services' own. */
  kept: unknown
  calls: number
  failed: number
}

export class ServiceTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** Inserts it, or updates the one with this name. */
  record(row: ServiceRow): void {
    this.#db.run(
      `INSERT INTO services (name, data, created_at) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET data = excluded.data`,
      [row.request.name, JSON.stringify(row), Date.parse(row.created_at)],
    )
  }

  /** Oldest first. */
  list(): ServiceRow[] {
    return this.#db
      .all('SELECT data FROM services ORDER BY created_at, name')
      .map((row) => JSON.parse(String(row['data'])) as ServiceRow)
  }

  forget(name: string): void {
    this.#db.run('DELETE FROM services WHERE name = ?', [name])
  }
}
