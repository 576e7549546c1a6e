import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Collected, RunSummary } from '@thaw/protocol'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
import { whyNot } from '../support/process.js'
import { Project } from '../support/project.js'

const BUDGET = 4e6
/** Prints 1.5 MB. */
const LOUD = ['python3', '-c', 'print("x" * 1_500_000)']
const why = await whyNot()

let home: Home
beforeEach(() => {
  home = new Home({ THAW_DISK: String(BUDGET), XDG_CACHE_HOME: join(findPaths().cache, '..') })
})
afterEach(() => home[Symbol.asyncDispose]())

const runs = async () => (await home.json<RunSummary[]>(['ls'])).map(({ id }) => id)
const state = (id: string) => join(home.env['THAW_HOME'] as string, 'state', 'runs', id)

it('what runs left is given up within the budget, what was used last stays', async () => {
  const ids: string[] = []
  for (const name of ['first', 'second', 'third', 'fourth']) {
    const { report, stdout } = await new Project(home, name).run(LOUD)
    expect(stdout).toHaveLength(1_500_001)
    ids.push(report.run)
  }
  expect((await runs()).sort()).toEqual([...ids].sort())
  const { bytes } = await home.json<Collected>(['gc'])
  expect(bytes).toBeGreaterThan(1.5e6)
  expect((await runs()).sort()).toEqual(ids.slice(2).sort())
  expect(ids.map((id) => existsSync(state(id)))).toEqual([false, false, true, true])
  const kept = await new Project(home, 'fourth').run(LOUD)
  expect(kept.report).toMatchObject({ run: ids[3], outcome: 'replayed' })
  const gone = await new Project(home, 'first').run(LOUD)
  expect(gone.stdout).toHaveLength(1_500_001)
  expect(gone.report).toMatchObject({ outcome: 'cold', reason: 'first run' })
})

it.skipIf(why !== null)('of checkpoints on disk those go that nobody asked for', async () => {
  const COUNT = 'for n in 1 2 3 4; do echo line $n; sleep 0.15; done'
  const images = (id: string) => readdirSync(join(state(id), 'images'))
  const taken = await new Project(home, 'taken').run(['sh', '-c', COUNT], { flags: ['--every', '0.2s'] })
  const asked = new Project(home, 'asked')
  const stopped = await asked.run(['sh', '-c', COUNT], { flags: ['--break-output', 'line 2'] })
  expect(images(taken.report.run).length).toBeGreaterThan(0)
  await home.run(['daemon', 'stop'])
  home.env['THAW_DISK'] = '100kB'
  await home.json<RunSummary[]>(['ls'])
  await home.run(['gc'])
  expect(await runs()).toEqual([stopped.report.run])
  expect(existsSync(state(taken.report.run))).toBe(false)
  expect((await asked.resume([stopped.report.checkpoint?.id ?? ''])).stdout).toBe('line 3\nline 4\n')
})
