import { expect, it } from 'vitest'
import { errorLine, ERRORS, isErrorCode, ThawError } from './errors.js'

it('has sentences for all, and exit codes a shell knows', () => {
  for (const [code, entry] of Object.entries(ERRORS)) {
    expect(code).toMatch(/^[A-Z][A-Z_]+$/)
    expect(entry.when, code).toMatch(/^[A-Z].*\.$/)
    expect(entry.hint, code).toMatch(/^.*\.$/)
    expect([1, 125, 126, 127], code).toContain(entry.exit)
    expect(entry.status, code).toBeGreaterThanOrEqual(400)
  }
})

it('crosses a wire unchanged', () => {
  const error = new ThawError('RUN_NOT_FOUND', 'There is no run r_x.', { details: { nearest: ['r_y'] } })
  const again = ThawError.fromBody(JSON.parse(JSON.stringify(error.toBody())))
  expect(again.toBody()).toEqual(error.toBody())
  expect(errorLine(again)).toBe('thaw: RUN_NOT_FOUND: There is no run r_x. `thaw ls` shows what exists.')
})

it('turns anything else into INTERNAL', () => {
  expect(ThawError.fromBody('<html>').code).toBe('INTERNAL')
  expect(ThawError.fromBody({ code: 'toString', message: 'x' }).code).toBe('INTERNAL')
  expect(ThawError.from(new Error('oops')).message).toBe('oops.')
  expect(isErrorCode('constructor')).toBe(false)
})
