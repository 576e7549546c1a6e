import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describeSettings, resolveSettings, runSettings } from './settings.js'

let directory: string
let userFile: string
let project: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-settings-'))
  userFile = join(directory, 'user.toml')
  project = join(directory, 'project')
  mkdirSync(join(project, 'deep', 'er'), { recursive: true })
})
afterEach(() => rmSync(directory, { recursive: true }))

const resolve = (env: Record<string, string> = {}, flags = {}) =>
  resolveSettings({ env, flags, userFile, cwd: join(project, 'deep', 'er') })

it('takes flags over environment over project over user over defaults', () => {
  expect(resolve().values.effects).toBe('redo')
  writeFileSync(userFile, 'effects = "keep"\nmemory = "512MB"\nidle = "2h"\n')
  expect(resolve().values).toMatchObject({ effects: 'keep', memory: 512e6, idle: 7200 })
  writeFileSync(join(project, 'thaw.toml'), 'effects = "redo"\n')
  expect(resolve().values.effects).toBe('redo')
  expect(resolve({ THAW_EFFECTS: 'keep', THAW_FACTOR: '3', THAW_QUIET: '1' }).values).toMatchObject({
    effects: 'keep',
    factor: 3,
    quiet: true,
  })
  expect(resolve({ THAW_EFFECTS: 'keep' }, { effects: 'redo', engine: null }).found.effects).toEqual({
    value: 'redo',
    source: 'flag',
    where: '--effects',
  })
})

it('says where each setting comes from', () => {
  writeFileSync(join(project, 'thaw.toml'), '# notes\n\nmin_gap = 0.5\n')
  const shown = describeSettings(resolve({ THAW_LOG: 'debug' }))
  expect(shown.find((s) => s.name === 'min_gap')).toMatchObject({
    value: 0.5,
    source: 'project',
    where: `${join(project, 'thaw.toml')}:3`,
  })
  expect(shown.find((s) => s.name === 'log')).toMatchObject({ source: 'environment', where: 'THAW_LOG' })
  expect(Object.keys(runSettings(resolve()))).not.toContain('memory')
})

const bad: [string, string, RegExp][] = [
  ['an unknown key', 'effects = "keep"\nefects = "keep"\n', /thaw\.toml:2: unknown setting efects\./],
  ['an unknown table', '\n[run]\nx = 1\n', /thaw\.toml:2: unknown setting run\./],
  ['a wrong value', 'effects = "never"\n', /thaw\.toml:1: effects = "never": /],
  ['a wrong size', 'output = "many"\n', /thaw\.toml:1: .*expected a size/],
  ['broken TOML', 'effects = "keep"\nengine = \n', /thaw\.toml:2:\d+: /],
  ["a daemon's setting in a project", 'idle = 3\n', /thaw\.toml:1: idle is the daemon's/],
]
for (const [what, text, message] of bad) {
  it(`names file and line of ${what}`, () => {
    writeFileSync(join(project, 'thaw.toml'), text)
    expect(() => resolve()).toThrow(
      expect.objectContaining({ code: 'INVALID_SETTING', message: expect.stringMatching(message) }),
    )
  })
}

it('refuses unknown variables', () => {
  expect(() => resolve({ THAW_EFECTS: 'keep' })).toThrow(/THAW_EFECTS is not a setting/)
  // What thaw reads elsewhere is none, and no error.
  expect(() => resolve({ THAW_MACHINE: 'q35', THAW_FIRECRACKER: '/opt/firecracker' })).not.toThrow()
  expect(() => resolve({ THAW_HOME: '/x' })).not.toThrow()
})
