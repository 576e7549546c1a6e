import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fileLog } from './log.js'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-log-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

it('writes lines of JSON from a level on, with errors as their stacks', () => {
  const file = join(directory, 'log')
  using log = fileLog(file, 'info')
  log.debug('not this')
  log.child({ run: 'r_1' }).warn('this', { error: new Error('broken'), n: 1 })
  const [line, ...rest] = readFileSync(file, 'utf8').trim().split('\n')
  expect(rest).toEqual([])
  expect(JSON.parse(line ?? '')).toMatchObject({
    level: 'warn',
    message: 'this',
    run: 'r_1',
    n: 1,
    error: expect.stringMatching(/^Error: broken\n {4}at /),
  })
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

it('leaves secrets out, wherever they stand', () => {
  const file = join(directory, 'log')
  const token = `thaw_0123456789ab_${'s'.repeat(43)}`
  using log = fileLog(file, 'info')
  log.info('one', { env: { A: 'hidden' }, request: { headers: { a: 'hidden' }, token: 'hidden' } })
  log.info(`two ${token}`, { url: `/x?t=${token}` })
  const text = readFileSync(file, 'utf8')
  expect(text).not.toMatch(/hidden|ssss/)
  expect(text).toContain('(left out)')
})

it('begins anew when it has grown large, and keeps what was before', () => {
  const file = join(directory, 'log')
  using log = fileLog(file, 'info', 200)
  for (let n = 0; n < 4; n++) log.info(`line ${n} ${'x'.repeat(60)}`)
  expect(readFileSync(`${file}.old`, 'utf8')).toContain('line 0')
  expect(readFileSync(file, 'utf8')).toContain('line 3')
})
