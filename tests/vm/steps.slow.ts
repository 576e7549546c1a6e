/** docs/vm-steps.md: the commands of the page, and what they print. */
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
import { processesWith, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

const MINUTE = 60_000
const home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
home.env['TMPDIR'] = home.directory
afterAll(async () => {
  await home[Symbol.asyncDispose]()
  expect(processesWith(home.directory)).toEqual([])
}, MINUTE)

it.skipIf(reason !== null)(
  'a machine, step by step: run, stop, reboot, edit, go on',
  async () => {
    const blocks = await home.play('vm-steps.md')
    expect(blocks.length).toBeGreaterThan(5)
    expect(blocks.map(({ typed, printed }) => ({ typed, printed }))).toEqual(
      blocks.map(({ typed, said }) => ({ typed, printed: said })),
    )
  },
  10 * MINUTE,
)
