import Libsql from 'libsql'
import { ThawError } from '../system/index.js'

export type Scalar = string | number | bigint | null | Uint8Array
export type Row = Record<string, Scalar>

interface Statement {
  run(values: Scalar[]): { changes: number }
  get(values: Scalar[]): Row | undefined
  all(values: Scalar[]): Row[]
}

/**
 * The only module that binds values to SQL. libsql ends the whole process on a boolean, a bare Buffer or a Date,
 * cuts strings at NUL, and leaves a transaction open when a statement of several fails; so values are checked here,
 * bound as arrays, and statements run one at a time.
 */
export class Database implements Disposable {
  readonly #db: Libsql.Database
  readonly #statements = new Map<string, Statement>()

  /** @throws ThawError JOURNAL_BROKEN */
  constructor(file: string) {
    try {
      this.#db = new Libsql(file)
      this.#db.exec('PRAGMA busy_timeout = 5000')
      this.#db.exec('PRAGMA journal_mode = WAL')
      this.#db.exec('PRAGMA synchronous = NORMAL')
      this.#db.exec('PRAGMA foreign_keys = ON')
    } catch (error) {
      throw databaseError(error, file)
    }
  }

  run(sql: string, values: readonly unknown[] = []): number {
    return this.#do(sql, (statement) => statement.run(values.map(checkScalar)).changes)
  }

  get(sql: string, values: readonly unknown[] = []): Row | undefined {
    const row = this.#do(sql, (statement) => statement.get(values.map(checkScalar)))
    if (row === undefined) return undefined
    const { _metadata, ...columns } = row as Row & { _metadata?: unknown }
    return columns as Row
  }

  all(sql: string, values: readonly unknown[] = []): Row[] {
    return this.#do(sql, (statement) => statement.all(values.map(checkScalar)))
  }

  /** All of `work`'s writes, or none. Does not nest. */
  transaction<T>(work: () => T): T {
    this.run('BEGIN IMMEDIATE')
    try {
      const value = work()
      this.run('COMMIT')
      return value
    } catch (error) {
      try {
        this.run('ROLLBACK')
      } catch {
        // SQLite has rolled back by itself (disk full, for one); the first error is the one to report.
      }
      throw error
    }
  }

  #do<T>(sql: string, work: (statement: Statement) => T): T {
    try {
      let statement = this.#statements.get(sql)
      if (statement === undefined) {
        statement = this.#db.prepare(sql) as unknown as Statement
        this.#statements.set(sql, statement)
      }
      return work(statement)
    } catch (error) {
      throw databaseError(error, 'the journal')
    }
  }

  [Symbol.dispose](): void {
    this.#statements.clear()
    this.#db.close()
  }
}

/** @throws ThawError INTERNAL for what must not be bound */
export function checkScalar(value: unknown): Scalar {
  switch (typeof value) {
    case 'string':
      if (value.includes('\0')) throw new ThawError('INTERNAL', 'A string with a NUL was to be stored.')
      return value
    case 'number':
      if (!Number.isFinite(value)) throw new ThawError('INTERNAL', `The number ${value} was to be stored.`)
      return Number.isSafeInteger(value) ? BigInt(value) : value
    case 'bigint':
      return value
    case 'object':
      if (value === null || value instanceof Uint8Array) return value
  }
  throw new ThawError('INTERNAL', `A value of type ${typeof value} was to be stored.`)
}

function databaseError(error: unknown, file: string): ThawError {
  if (error instanceof ThawError) return error
  const text = error instanceof Error ? error.message : String(error)
  const options = { cause: error }
  if (/disk is full|SQLITE_FULL/i.test(text))
    return new ThawError('DISK_FULL', `Writing ${file}: ${text}.`, options)
  return new ThawError('JOURNAL_BROKEN', `${file}: ${text}.`, options)
}
