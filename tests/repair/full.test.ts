/** A disk that is full while a step is put in place. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Steps } from '../../packages/thaw/src/repair/steps.js'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn('tests/repair/full.test.ts is skipped: only root may mount a small file system')

let directory: string
let small: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-full-'))
  small = join(directory, 'small')
  mkdirSync(small)
  if (isRoot) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small])
})
afterEach(() => {
  if (isRoot) execFileSync('umount', [small])
  rmSync(directory, { recursive: true, force: true })
})

const NAMES = ['a.py', 'b.py', 'c.py']
const LARGE = `${'x = 1\n'.repeat(20_000)}`

function makeProject(at: string): { project: string; look: () => string[] } {
  const project = join(at, 'project')
  mkdirSync(project)
  for (const name of NAMES) writeFileSync(join(project, name), `before ${name}\n`)
  const look = () => spawnSync('sh', ['-c', 'ls -A; cat *'], { cwd: project }).stdout.toString().split('\n')
  return { project, look }
}

const edits = NAMES.map((path) => ({
  path,
  before: Buffer.from(`before ${path}\n`),
  after: Buffer.from(`# ${path}\n${LARGE}`),
  mode: 0o644,
}))

it.skipIf(!isRoot).each([
  ['its record', (): [string, string] => [small, directory]],
  ['the project', (): [string, string] => [directory, small]],
])('leaves the files as they were when %s lies there', (_, places) => {
  const [state, place] = places()
  const { project, look } = makeProject(place)
  const before = look()
  const steps = new Steps(join(state, 'steps'))
  expect(() => steps.accept(project, edits)).toThrow()
  expect(look()).toEqual(before)
  expect(steps.numbers()).toEqual([])
  // With room, the next one succeeds, and can be undone.
  const few = edits.slice(0, 1).map((edit) => ({ ...edit, after: Buffer.from('after\n') }))
  const number = steps.accept(project, few)
  expect(readFileSync(join(project, 'a.py'), 'utf8')).toBe('after\n')
  steps.takeBack(number)
  expect(look()).toEqual(before)
})
