import type { RunReport } from '@thaw/protocol'
import { Database, type Row } from './database.js'
import { ImageTable } from './images.js'
import { InstanceTable } from './instances.js'
import { ServiceTable } from './services.js'
import { PoolTable, SnapshotTable } from './snapshots.js'
import { migrate } from './migrations.js'

/** A run: one command in one directory with one interpreter. Times are milliseconds since 1970. */
export interface RunRow {
  id: string
  /** Digest of command, directory and interpreter; one run each. */
  identity: string
  command: string[]
  cwd: string
  interpreter: string | null
  createdAt: number
  lastAt: number
  timesRun: number
}

export interface BranchRow {
  id: string
  run: string
  /** Checkpoint it was restored from; null when cold. */
  from: string | null
  state: 'live' | 'ended' | 'lost'
  pid: number | null
  startedAt: number
  endedAt: number | null
  exitCode: number | null
  exitSignal: string | null
  /** What the runs keep about it (offsets, lineage, environment); JSON. */
  data: unknown
}

export interface CheckpointRow {
  id: string
  run: string
  branch: string
  parent: string | null
  unit: string | null
  file: string | null
  line: number | null
  atSeconds: number
  memoryBytes: number | null
  state: 'parked' | 'dropped' | 'lost'
  createdAt: number
  /** Output offsets, stack, seq; JSON. */
  data: unknown
}

export interface InputRow {
  /** Position along the lineage. */
  seq: number
  kind: string
  data: unknown
}

export interface Lost {
  /** Live branches of the daemon before, with their runs. */
  branches: { id: string; run: string; command: string[]; pid: number | null }[]
  /** How many parked checkpoints ended with it. */
  checkpoints: number
}

/** What is remembered about runs across daemons. Every write is durable against a kill of the daemon. */
export class Journal implements Disposable {
  readonly images: ImageTable
  readonly instances: InstanceTable
  readonly snapshots: SnapshotTable
  readonly pools: PoolTable
  readonly services: ServiceTable
  readonly #db: Database

  /** @throws ThawError JOURNAL_BROKEN, DISK_FULL */
  constructor(file: string) {
    this.#db = new Database(file)
    migrate(this.#db, file)
    this.images = new ImageTable(this.#db)
    this.instances = new InstanceTable(this.#db)
    this.snapshots = new SnapshotTable(this.#db)
    this.pools = new PoolTable(this.#db)
    this.services = new ServiceTable(this.#db)
  }

  /** Inserts the run, or updates the one with this id. */
  recordRun(run: RunRow): void {
    this.#db.run(
      `INSERT INTO runs (id, identity, command, cwd, interpreter, created_at, last_at, times_run)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, times_run = excluded.times_run`,
      [
        run.id,
        run.identity,
        JSON.stringify(run.command),
        run.cwd,
        run.interpreter,
        run.createdAt,
        run.lastAt,
        run.timesRun,
      ],
    )
  }

  recordBranch(branch: BranchRow): void {
    this.#db.run(
      `INSERT INTO branches
         (id, run, from_checkpoint, state, pid, started_at, ended_at, exit_code, exit_signal, data)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET state = excluded.state, pid = excluded.pid, ended_at = excluded.ended_at,
         exit_code = excluded.exit_code, exit_signal = excluded.exit_signal, data = excluded.data`,
      [
        branch.id,
        branch.run,
        branch.from,
        branch.state,
        branch.pid,
        branch.startedAt,
        branch.endedAt,
        branch.exitCode,
        branch.exitSignal,
        JSON.stringify(branch.data ?? null),
      ],
    )
  }

  recordCheckpoint(checkpoint: CheckpointRow): void {
    this.#db.run(
      `INSERT INTO checkpoints
         (id, run, branch, parent, unit, file, line, at_seconds, memory_bytes, state, created_at, data)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET memory_bytes = excluded.memory_bytes, state = excluded.state,
         data = excluded.data`,
      [
        checkpoint.id,
        checkpoint.run,
        checkpoint.branch,
        checkpoint.parent,
        checkpoint.unit,
        checkpoint.file,
        checkpoint.line,
        checkpoint.atSeconds,
        checkpoint.memoryBytes,
        checkpoint.state,
        checkpoint.createdAt,
        JSON.stringify(checkpoint.data ?? null),
      ],
    )
  }

  /** All of them in one transaction; one that is known already (same branch and seq) is replaced. */
  recordInputs(branch: string, inputs: readonly InputRow[]): void {
    if (inputs.length === 0) return
    this.#db.transaction(() => {
      for (const input of inputs) {
        this.#db.run('INSERT OR REPLACE INTO inputs (branch, seq, kind, data) VALUES (?, ?, ?, ?)', [
          branch,
          input.seq,
          input.kind,
          JSON.stringify(input.data ?? null),
        ])
      }
    })
  }

  recordOutcome(run: string, branch: string, report: RunReport): void {
    this.#db.run(
      'INSERT OR REPLACE INTO outcomes (branch, run, outcome, at, report) VALUES (?, ?, ?, ?, ?)',
      [branch, run, report.outcome, Date.now(), JSON.stringify(report)],
    )
  }

  recordRefusal(branch: string, atSeconds: number, why: string): void {
    this.#db.run('INSERT INTO refusals (branch, at_seconds, why) VALUES (?, ?, ?)', [branch, atSeconds, why])
  }

  /** Newest first. */
  listRuns(): RunRow[] {
    return this.#db.all('SELECT * FROM runs ORDER BY last_at DESC, id').map(toRun)
  }

  getRun(id: string): RunRow | undefined {
    const row = this.#db.get('SELECT * FROM runs WHERE id = ?', [id])
    return row === undefined ? undefined : toRun(row)
  }

  findRun(identity: string): RunRow | undefined {
    const row = this.#db.get('SELECT * FROM runs WHERE identity = ?', [identity])
    return row === undefined ? undefined : toRun(row)
  }

  /** Of one run, oldest first. */
  listBranches(run: string): BranchRow[] {
    return this.#db.all('SELECT * FROM branches WHERE run = ? ORDER BY started_at, id', [run]).map(toBranch)
  }

  getBranch(id: string): BranchRow | undefined {
    const row = this.#db.get('SELECT * FROM branches WHERE id = ?', [id])
    return row === undefined ? undefined : toBranch(row)
  }

  /** Of one run, in order of the program's work. */
  listCheckpoints(run: string): CheckpointRow[] {
    return this.#db
      .all('SELECT * FROM checkpoints WHERE run = ? ORDER BY at_seconds, created_at, id', [run])
      .map(toCheckpoint)
  }

  getCheckpoint(id: string): CheckpointRow | undefined {
    const row = this.#db.get('SELECT * FROM checkpoints WHERE id = ?', [id])
    return row === undefined ? undefined : toCheckpoint(row)
  }

  listInputs(branch: string): InputRow[] {
    return this.#db
      .all('SELECT seq, kind, data FROM inputs WHERE branch = ? ORDER BY seq', [branch])
      .map((row) => ({
        seq: Number(row['seq']),
        kind: String(row['kind']),
        data: JSON.parse(String(row['data'])),
      }))
  }

  listRefusals(branch: string): { atSeconds: number; why: string }[] {
    return this.#db
      .all('SELECT at_seconds, why FROM refusals WHERE branch = ? ORDER BY at_seconds', [branch])
      .map((row) => ({ atSeconds: Number(row['at_seconds']), why: String(row['why']) }))
  }

  getOutcome(branch: string): RunReport | undefined {
    const row = this.#db.get('SELECT report FROM outcomes WHERE branch = ?', [branch])
    return row === undefined ? undefined : (JSON.parse(String(row['report'])) as RunReport)
  }

  lastOutcome(run: string): RunReport | undefined {
    const row = this.#db.get('SELECT report FROM outcomes WHERE run = ? ORDER BY at DESC LIMIT 1', [run])
    return row === undefined ? undefined : (JSON.parse(String(row['report'])) as RunReport)
  }

  /** The checkpoint at which a program stopped last. */
  lastStop(): string | undefined {
    const row = this.#db.get(
      `SELECT id FROM checkpoints WHERE json_extract(data, '$.kind') = 'stop' ORDER BY created_at DESC, id LIMIT 1`,
    )
    return row === undefined ? undefined : String(row['id'])
  }

  /** The latest checkpoint of this name. */
  findNamed(name: string): string | undefined {
    const row = this.#db.get(
      `SELECT id FROM checkpoints WHERE json_extract(data, '$.name') = ? ORDER BY created_at DESC, id LIMIT 1`,
      [name],
    )
    return row === undefined ? undefined : String(row['id'])
  }

  /** All ids (runs, branches, checkpoints) that begin with `prefix`; at most `limit`. */
  findIds(prefix: string, limit = 20): string[] {
    const values = [prefix, `${prefix}\u{10ffff}`, limit]
    return ['runs', 'branches', 'checkpoints'].flatMap((table) =>
      this.#db
        .all(`SELECT id FROM ${table} WHERE id >= ? AND id < ? ORDER BY id LIMIT ?`, values)
        .map((row) => String(row['id'])),
    )
  }

  /** With its branches, checkpoints, inputs and outcomes. */
  forgetRun(id: string): void {
    this.#db.run('DELETE FROM runs WHERE id = ?', [id])
  }

  /** With its inputs and outcome; checkpoints taken in it stay. */
  forgetBranch(id: string): void {
    this.#db.run('DELETE FROM branches WHERE id = ?', [id])
  }

  forgetCheckpoint(id: string): void {
    this.#db.run('DELETE FROM checkpoints WHERE id = ?', [id])
  }

  /** At the start of a daemon: what the one before left as live or parked is lost. Says what that was. */
  markLost(): Lost {
    return this.#db.transaction(() => {
      const branches = this.#db
        .all(
          `SELECT branches.id, branches.run, branches.pid, runs.command FROM branches
           JOIN runs ON runs.id = branches.run WHERE branches.state = 'live'`,
        )
        .map((row) => ({
          id: String(row['id']),
          run: String(row['run']),
          command: JSON.parse(String(row['command'])) as string[],
          pid: numberOrNull(row['pid']),
        }))
      this.#db.run(`UPDATE branches SET state = 'lost', ended_at = ? WHERE state = 'live'`, [Date.now()])
      // Those that have an image are on disk.
      const checkpoints = this.#db.run(
        `UPDATE checkpoints SET state = 'lost' WHERE state = 'parked' AND json_extract(data, '$.image') IS NULL`,
      )
      return { branches, checkpoints }
    })
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]()
  }
}

function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value)
}

function textOrNull(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value)
}

function toRun(row: Row): RunRow {
  return {
    id: String(row['id']),
    identity: String(row['identity']),
    command: JSON.parse(String(row['command'])) as string[],
    cwd: String(row['cwd']),
    interpreter: textOrNull(row['interpreter']),
    createdAt: Number(row['created_at']),
    lastAt: Number(row['last_at']),
    timesRun: Number(row['times_run']),
  }
}

function toBranch(row: Row): BranchRow {
  return {
    id: String(row['id']),
    run: String(row['run']),
    from: textOrNull(row['from_checkpoint']),
    state: String(row['state']) as BranchRow['state'],
    pid: numberOrNull(row['pid']),
    startedAt: Number(row['started_at']),
    endedAt: numberOrNull(row['ended_at']),
    exitCode: numberOrNull(row['exit_code']),
    exitSignal: textOrNull(row['exit_signal']),
    data: JSON.parse(String(row['data'])),
  }
}

function toCheckpoint(row: Row): CheckpointRow {
  return {
    id: String(row['id']),
    run: String(row['run']),
    branch: String(row['branch']),
    parent: textOrNull(row['parent']),
    unit: textOrNull(row['unit']),
    file: textOrNull(row['file']),
    line: numberOrNull(row['line']),
    atSeconds: Number(row['at_seconds']),
    memoryBytes: numberOrNull(row['memory_bytes']),
    state: String(row['state']) as CheckpointRow['state'],
    createdAt: Number(row['created_at']),
    data: JSON.parse(String(row['data'])),
  }
}
