import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { faults, repair } from './corpus.mjs'

let home: Home
beforeAll(() => {
  home = new Home()
  mkdirSync(join(home.directory, 'corpus'))
})
afterAll(() => home[Symbol.asyncDispose]())

/** With a wrong edit first too: `npm run repair-corpus`. */
it.each(faults())('repairs %s, the edit in effect after the restore', (name) => {
  const where = { directory: join(home.directory, 'corpus'), env: home.env, thaw: home.thaw }
  const { fault, plain, shown, report, same } = repair(where, name, false)
  expect(plain.status, plain.stderr).toBe(0)
  expect(report, shown.stderr).toMatchObject({ outcome: 'repaired', exit_code: 0, exit: { code: 0 } })
  expect(shown.status).toBe(0)
  // What the crash had printed is not shown again.
  expect(shown.stdout).toBe(plain.stdout)
  expect(same).toBe(true)
  const [first, last] = report?.attempts ?? []
  expect(first?.failure?.kind).toBe(fault.kind)
  expect(last).toMatchObject({ failure: null, report: { outcome: 'resumed' } })
})
