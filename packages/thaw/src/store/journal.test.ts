import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Database, checkScalar } from './database.js'
import { Journal, type BranchRow, type CheckpointRow, type RunRow } from './journal.js'

let directory: string
let journal: Journal

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-journal-'))
  journal = new Journal(join(directory, 'journal.db'))
})
afterEach(() => {
  journal[Symbol.dispose]()
  rmSync(directory, { recursive: true })
})

const run: RunRow = {
  id: 'r_1',
  identity: 'abc',
  command: ['python3', 'x.py', 'ü\n'],
  cwd: '/p',
  interpreter: null,
  createdAt: 1_700_000_000_123,
  lastAt: 1_700_000_000_123,
  timesRun: 1,
}
const branch: BranchRow = {
  id: 'b_1',
  run: 'r_1',
  from: null,
  state: 'live',
  pid: 42,
  startedAt: 5,
  endedAt: null,
  exitCode: null,
  exitSignal: null,
  data: { offsets: [1, 2.5] },
}
const checkpoint: CheckpointRow = {
  id: 'c_1',
  run: 'r_1',
  branch: 'b_1',
  parent: null,
  unit: 'train',
  file: 'x.py',
  line: 3,
  atSeconds: 2,
  memoryBytes: 5_000_000_000,
  state: 'parked',
  createdAt: 7,
  data: null,
}

describe('Journal', () => {
  it('gives back what was recorded', () => {
    journal.recordRun(run)
    journal.recordBranch(branch)
    journal.recordCheckpoint(checkpoint)
    journal.recordInputs('b_1', [
      { seq: 2, kind: 'read', data: ['/a', [1, 2, 3]] },
      { seq: 1, kind: 'load', data: '\0 in JSON is fine' },
    ])
    expect(journal.findRun('abc')).toEqual(run)
    expect(journal.listBranches('r_1')).toEqual([branch])
    expect(journal.listCheckpoints('r_1')).toEqual([checkpoint])
    expect(journal.listInputs('b_1').map((input) => input.seq)).toEqual([1, 2])
    expect(journal.findIds('r_')).toEqual(['r_1'])
    expect(journal.findIds('')).toEqual(['r_1', 'b_1', 'c_1'])
  })

  it('forgets a run with all that belongs to it', () => {
    journal.recordRun(run)
    journal.recordBranch(branch)
    journal.recordCheckpoint(checkpoint)
    journal.recordInputs('b_1', [{ seq: 1, kind: 'env', data: null }])
    journal.forgetRun('r_1')
    expect(journal.findIds('')).toEqual([])
    expect(journal.listInputs('b_1')).toEqual([])
  })

  it('marks as lost what a daemon left behind, once', () => {
    journal.recordRun(run)
    journal.recordBranch(branch)
    journal.recordCheckpoint(checkpoint)
    expect(journal.markLost()).toEqual({
      branches: [{ id: 'b_1', run: 'r_1', command: run.command, pid: 42 }],
      checkpoints: 1,
    })
    expect(journal.getBranch('b_1')?.state).toBe('lost')
    expect(journal.getCheckpoint('c_1')?.state).toBe('lost')
    expect(journal.markLost()).toEqual({ branches: [], checkpoints: 0 })
  })

  it('refuses a journal of a newer format', () => {
    const file = join(directory, 'newer.db')
    const db = new Database(file)
    db.run('PRAGMA user_version = 99')
    db[Symbol.dispose]()
    expect(() => new Journal(file)).toThrow(/format 99/)
  })
})

describe('Database', () => {
  it('refuses what libsql would end the process for, or cut', () => {
    for (const value of [true, new Date(), undefined, {}, NaN, 'a\0b']) {
      expect(() => checkScalar(value)).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
    }
  })

  it('takes back all of a transaction that fails', () => {
    const db = new Database(join(directory, 'other.db'))
    db.run('CREATE TABLE t (n INTEGER UNIQUE)')
    expect(() =>
      db.transaction(() => {
        db.run('INSERT INTO t VALUES (?)', [1])
        db.run('INSERT INTO t VALUES (?)', [1])
      }),
    ).toThrow()
    expect(db.all('SELECT * FROM t')).toEqual([])
    db[Symbol.dispose]()
  })
})
