import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { isAlive } from './process-identity.js'
import { takeLock, type Lock } from './lock.js'

it('has one holder at a time, and names it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'thaw-lock-'))
  const file = join(directory, 'lock')
  const first = takeLock(file) as Lock
  expect(isAlive(first.owner)).toBe(true)
  expect(takeLock(file)).toEqual({ heldBy: first.owner })
  first[Symbol.dispose]()
  const second = takeLock(file) as Lock
  expect(second.owner.token).not.toBe(first.owner.token)
  second[Symbol.dispose]()
  rmSync(directory, { recursive: true })
})
