import type { AppRequest, ServiceRequest } from '@thaw/protocol'
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

/** An app as it is kept. */
export interface AppRow {
  request: Omit<AppRequest, 'replace'>
  created_at: string
  frozen: FrozenApp | null
}

export interface FrozenApp extends Pick<FrozenService, 'directory' | 'files' | 'calls' | 'failed'> {
  /** The copy right after its start, to which a reset goes back, as a directory; null: there is none. */
  base: string | null
}

export class ServiceTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** Inserts it, or updates the one with this name. */
  record(row: ServiceRow | AppRow): void {
    this.#db.run(
      `INSERT INTO services (name, data, created_at) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET data = excluded.data`,
      [row.request.name, JSON.stringify(row), Date.parse(row.created_at)],
    )
  }

  /** Oldest first. */
  list(): (ServiceRow | AppRow)[] {
    return this.#db
      .all('SELECT data FROM services ORDER BY created_at, name')
      .map((row) => JSON.parse(String(row['data'])) as ServiceRow | AppRow)
  }

  forget(name: string): void {
    this.#db.run('DELETE FROM services WHERE name = ?', [name])
  }
}
