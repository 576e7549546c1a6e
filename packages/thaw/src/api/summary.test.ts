import type { RunReport } from '@thaw/protocol'
import { expect, it } from 'vitest'
import { summaryLine } from './summary.js'

const report: RunReport = {
  run: 'r_1',
  outcome: 'resumed',
  checkpoint: { id: 'c_1', before: 'train', file: 'app.py', line: 42, at_seconds: 4 },
  changed: [],
  reason: null,
  kept_effects: [],
  engine: 'fork',
  seconds: { total: 0.314, plan: 0, restore: 0, program: 0.3, cold_estimate: 12.41 },
  exit: { code: 0, signal: null },
}

it('says what was done, how long it took, and what it would have taken', () => {
  expect(summaryLine(report)).toBe('resumed before train() (app.py:42), 0.31 s instead of 12.4 s')
  expect(
    summaryLine({ ...report, outcome: 'replayed', checkpoint: null, kept_effects: ['POST to localhost'] }),
  ).toBe('nothing changed, output replayed, 0.31 s instead of 12.4 s; kept: POST to localhost')
  expect(
    summaryLine({
      ...report,
      outcome: 'cold',
      checkpoint: null,
      reason: 'first run',
      seconds: { ...report.seconds, total: 200 },
    }),
  ).toBe('ran cold, 3 min 20 s: first run')
  // There it may be slower than a cold run without thaw: so it is said where the time was spent.
  expect(summaryLine({ ...report, engine: 'process' })).toBe(
    'resumed in a sandbox before train() (app.py:42), 0.31 s instead of 12.4 s',
  )
  expect(
    summaryLine({ ...report, engine: 'process', outcome: 'cold', checkpoint: null, reason: 'first run' }),
  ).toBe('ran cold in a sandbox, 0.31 s: first run')
})
