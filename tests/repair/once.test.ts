/** What services ask for: one edit for one call that failed. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DaemonSettings, RepairBounds, type RepairBundle } from '@thaw/protocol'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { editFor, type FailedCall } from '../../packages/thaw/src/repair/index.js'
import { Runs } from '../../packages/thaw/src/runs/index.js'
import { Journal } from '../../packages/thaw/src/store/index.js'
import {
  findPaths,
  Metrics,
  openScope,
  preparePaths,
  silentLog,
} from '../../packages/thaw/src/system/index.js'
import { environment } from '../support/process.js'

const directory = mkdtempSync(join(tmpdir(), 'thaw-once-'))
const project = join(directory, 'project')
const file = join(project, 'shop.py')
const FAULTY = 'def price(item):\n    return item["amount"]\n'
const told = {
  t: 'failure' as const,
  kind: 'exception' as const,
  exceptions: [
    {
      type: 'KeyError',
      message: "'amount'",
      frames: [
        {
          file,
          line: 2,
          function: 'price',
          project: true,
          locals: { item: "{'price': 3}", token: "'very-secret'" },
        },
      ],
    },
  ],
}

let journal: Journal
let runs: Runs
beforeAll(async () => {
  mkdirSync(project)
  writeFileSync(file, FAULTY)
  const paths = findPaths({ ...process.env, THAW_HOME: join(directory, 'home') })
  preparePaths(paths)
  journal = new Journal(paths.journal)
  const metrics = new Metrics({ version: '', build: '' })
  runs = await Runs.create({ paths, journal, log: silentLog, metrics, settings: DaemonSettings.parse({}) })
})
afterAll(async () => {
  await runs[Symbol.asyncDispose]()
  journal[Symbol.dispose]()
  rmSync(directory, { recursive: true, force: true })
})

const ask = (command: string, more: Partial<FailedCall> = {}) =>
  editFor(
    runs,
    {
      id: 'call',
      project,
      cwd: project,
      command: ['shop.price', '{"price": 3}'],
      told,
      output: { stdout: '', stderr: '' },
      env: environment(),
      python: 'python3',
      repairer: { kind: 'command', command },
      bounds: RepairBounds.parse({}),
      tried: [],
      ...more,
    },
    openScope(),
  )

it('hands out an edit that fits, and changes nothing', async () => {
  const kept = join(directory, 'bundle.json')
  const answer = await ask(`cat > ${kept}; sed -i s/amount/price/ shop.py`)
  expect(answer).toMatchObject({ edits: [{ path: 'shop.py' }] })
  expect('diff' in answer && answer.diff).toContain('+    return item["price"]')
  expect(readFileSync(file, 'utf8')).toBe(FAULTY)
  const text = readFileSync(kept, 'utf8')
  expect(text).not.toContain('very-secret')
  const { failure } = JSON.parse(text) as RepairBundle
  expect(failure.summary).toBe("KeyError: 'amount' at shop.py:2")
  expect(failure.exceptions[0]?.frames[0]?.locals['item']).toBe("{'price': 3}")
})

it('refuses what does not fit, and ends at the bound on rounds', async () => {
  expect(await ask('echo "def" > shop.py')).toMatchObject({
    refused: expect.stringContaining('does not compile') as string,
  })
  expect(await ask('true')).toMatchObject({ refused: expect.stringContaining('empty') as string })
  const tried = [{ round: 1, candidate: 1, diff: '', outcome: 'taken back' as const, detail: '' }]
  const bounds = RepairBounds.parse({ rounds: 1 })
  expect(await ask('true', { tried, bounds })).toEqual({ refused: 'not after 1 rounds' })
})
