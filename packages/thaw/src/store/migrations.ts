import { ThawError } from '../system/index.js'
import type { Database } from './database.js'

/** Each entry takes the journal from its index to the next version. Entries are never changed once released. */
const MIGRATIONS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE runs (
      id TEXT PRIMARY KEY,
      identity TEXT NOT NULL UNIQUE,
      command TEXT NOT NULL,
      cwd TEXT NOT NULL,
      interpreter TEXT,
      created_at INTEGER NOT NULL,
      last_at INTEGER NOT NULL,
      times_run INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE branches (
      id TEXT PRIMARY KEY,
      run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
      from_checkpoint TEXT,
      state TEXT NOT NULL,
      pid INTEGER,
      started_at INTEGER NOT NULL,
      ended_at INTEGER,
      exit_code INTEGER,
      exit_signal TEXT,
      data TEXT NOT NULL
    ) STRICT`,
    'CREATE INDEX branches_of_run ON branches(run, started_at)',
    `CREATE TABLE checkpoints (
      id TEXT PRIMARY KEY,
      run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
      branch TEXT NOT NULL,
      parent TEXT,
      unit TEXT,
      file TEXT,
      line INTEGER,
      at_seconds REAL NOT NULL,
      memory_bytes INTEGER,
      state TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      data TEXT NOT NULL
    ) STRICT`,
    'CREATE INDEX checkpoints_of_run ON checkpoints(run, created_at)',
    `CREATE TABLE inputs (
      branch TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE,
      seq INTEGER NOT NULL,
      kind TEXT NOT NULL,
      data TEXT NOT NULL,
      PRIMARY KEY (branch, seq)
    ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE outcomes (
      branch TEXT PRIMARY KEY REFERENCES branches(id) ON DELETE CASCADE,
      run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
      outcome TEXT NOT NULL,
      at INTEGER NOT NULL,
      report TEXT NOT NULL
    ) STRICT`,
    'CREATE INDEX outcomes_of_run ON outcomes(run, at)',
    `CREATE TABLE refusals (
      branch TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE,
      at_seconds REAL NOT NULL,
      why TEXT NOT NULL
    ) STRICT`,
  ],
  [
    `CREATE TABLE images (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      data TEXT NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE instances (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      state TEXT NOT NULL,
      data TEXT NOT NULL,
      request TEXT NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE instance_checkpoints (
      id TEXT PRIMARY KEY,
      instance TEXT NOT NULL,
      name TEXT,
      directory TEXT NOT NULL,
      data TEXT NOT NULL,
      request TEXT NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT`,
  ],
  [
    `CREATE TABLE snapshots (
      id TEXT PRIMARY KEY,
      name TEXT UNIQUE,
      data TEXT NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE pools (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      data TEXT NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT`,
    'CREATE TABLE image_uses (image TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT',
  ],
  ['CREATE TABLE services (name TEXT PRIMARY KEY, data TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT'],
]

/** @throws ThawError JOURNAL_BROKEN when the journal is from a newer thaw */
export function migrate(db: Database, file: string): void {
  const found = Number(db.get('PRAGMA user_version')?.['user_version'] ?? 0)
  if (found > MIGRATIONS.length) {
    throw new ThawError(
      'JOURNAL_BROKEN',
      `${file} has format ${found}; this thaw knows formats up to ${MIGRATIONS.length}.`,
    )
  }
  for (let version = found; version < MIGRATIONS.length; version++) {
    db.transaction(() => {
      for (const sql of MIGRATIONS[version] as readonly string[]) db.run(sql)
      db.run(`PRAGMA user_version = ${version + 1}`)
    })
  }
}
