/** A small `npm run service-soak`: calls by several clients with edits, resets, freezes, crashes and cancellations in between. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Home, root } from '../support/home.js'

it('loses no call, answers with no wrong version, and leaves nothing behind', async () => {
  await using home = new Home()
  const script = join(root, 'scripts', 'service-soak.mjs')
  const args = ['--calls', '150', '--clients', '4', '--seconds', '60', '--seed', '3']
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    env: home.env,
    encoding: 'utf8',
    timeout: 100_000,
  })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const { calls, faults, counts } = JSON.parse(stdout) as {
    calls: number
    faults: string[]
    counts: Record<string, number>
  }
  expect([calls, faults]).toEqual([150, []])
  expect(Object.keys(counts).filter((one) => one.startsWith('change: ')).length).toBeGreaterThan(2)
}, 120_000)
