import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Finding } from '../../packages/protocol/src/index.js'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
import { whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

const findings = async (home: Home) =>
  (await home.json<{ findings: Finding[] }>(['doctor'])).findings.filter(
    ({ name }) => name === 'engine process',
  )

it.skipIf(why !== null)('thaw setup says what is used, and thaw doctor that it works', async () => {
  // The cache that the tests share: nothing is fetched twice.
  await using home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
  const report = await home.json<{ criu: { version: string; path: string }; fetched: boolean }>(['setup'])
  expect(report).toMatchObject({ criu: { version: expect.stringMatching(/^\d+\.\d+/) }, fetched: false })
  expect((await findings(home))[0]).toMatchObject({ ok: true, fix: null })
  expect((await home.run(['setup'])).stdout).toContain(`Nothing to do: criu ${report.criu.version}`)
})

it('without a criu, and without a source for one, both say what to do, and nothing is left', async () => {
  await using home = new Home()
  // apt-get is looked for in the usual places; the mirror cannot be reached.
  const env = { http_proxy: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9' }
  Object.assign(home.env, env)
  const [finding] = await findings(home)
  // Where the system has a criu that fits, nothing is missing.
  if (finding?.ok === true) return
  expect(finding).toMatchObject({ ok: false, fix: expect.stringContaining('thaw setup') })
  const done = await home.run(['setup'])
  expect(done.code).toBe(125)
  expect(done.stderr).toMatch(/thaw: (SETUP_FAILED|ENGINE_MISSING): /)
  const cache = join(home.env['XDG_CACHE_HOME'] as string, 'thaw', 'criu')
  expect(existsSync(cache) ? readdirSync(cache) : []).toEqual([])
})
