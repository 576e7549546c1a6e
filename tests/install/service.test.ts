import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { Home, root } from '../support/home.js'

const file = join(root, 'deploy', 'thaw.service')
const unit = readFileSync(file, 'utf8')
const valueOf = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? ''

let home: Home | null = null
afterEach(() => home?.[Symbol.asyncDispose]())

const analyze = spawnSync('systemd-analyze', ['--version']).status === 0

// Debian: apt-get install systemd. Containers rarely have it.
it.skipIf(!analyze)('systemd finds nothing wrong with the unit', () => {
  const done = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' })
  expect(done.stdout + done.stderr).not.toContain('thaw.service')
  expect(done.status).toBe(0)
})

it('its commands start and end the daemon', async () => {
  home = new Home()
  const [start, stop] = [valueOf('ExecStart'), valueOf('ExecStop')].map((line) =>
    line.replace('/usr/bin/env thaw ', '').replace('18080', '0').split(' '),
  )
  expect(valueOf('Type')).toBe('forking')
  const started = await home.run(start ?? [])
  expect(started).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Started, pid \d+\. It listens on /),
  })
  expect(await home.run(stop ?? [])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Stopped/) })
  expect((await home.run(['daemon', 'status'])).stdout).toContain('No daemon runs')
})
