import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, root, until } from '../support/home.js'

const SECRET = 'hunter2-is-no-password'

let home: Home
let api: Api
beforeAll(async () => {
  home = new Home({ THAW_LOG: 'debug', THAW_FACTOR: '1' })
  api = await Api.start(home)
})
afterAll(() => home[Symbol.asyncDispose]())

/** The value of a sample, by its name with labels. */
async function sample(name: string): Promise<number> {
  const { text } = await api.get('/metrics')
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return line === undefined ? 0 : Number(line.slice(name.length))
}

it('counts what is done, and measures in seconds and bytes', async () => {
  const source = 'import time\ndef late():\n    print("late")\ntime.sleep(0.4)\nlate()\n'
  home.write('app.py', source)
  const run = () =>
    api.post(
      '/v1/runs',
      { command: ['python3', 'app.py'], cwd: home.project, env: home.env },
      { prefer: 'wait=30' },
    )
  await run()
  home.write('app.py', source.replace('late"', 'later"'))
  await run()
  await run()
  for (const [name, least] of [
    ['thaw_starts_total{outcome="cold",engine="fork"}', 1],
    ['thaw_starts_total{outcome="resumed",engine="fork"}', 1],
    ['thaw_starts_total{outcome="replayed",engine="fork"}', 1],
    ['thaw_cold_starts_total{reason="first_run"}', 1],
    ['thaw_restores_total{engine="fork"}', 1],
    ['thaw_checkpoints_total{engine="fork"}', 1],
    ['thaw_run_seconds_count{outcome="replayed"}', 1],
    ['thaw_restore_seconds_count{engine="fork"}', 1],
    ['thaw_output_bytes_total', 11],
    ['thaw_parked_checkpoints', 1],
    ['process_resident_memory_bytes', 1e6],
  ] as const) {
    expect([name, (await sample(name)) >= least]).toEqual([name, true])
  }
  const cold = await sample('thaw_run_seconds_sum{outcome="cold"}')
  expect(cold).toBeGreaterThan(0.4)
  expect(cold).toBeLessThan(30)
})

it('has every name that the dashboard asks for', async () => {
  const { text, headers } = await api.get('/metrics')
  expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
  const known = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name))
  const dashboard = readFileSync(join(root, 'docs', 'grafana.json'), 'utf8')
  const asked = new Set(
    [...dashboard.matchAll(/\b(?:thaw|process)_[a-z_]+/g)].map(([name]) =>
      name.replace(/_(bucket|sum|count)$/, ''),
    ),
  )
  expect(asked.size).toBeGreaterThan(12)
  expect([...asked].filter((name) => !known.has(name))).toEqual([])
  // And shows all that there is.
  expect([...known].filter((name) => !asked.has(name as string))).toEqual([])
})

it('logs in lines of JSON, which thaw logs --daemon shows, without secrets', async () => {
  const { token } = await api.newToken('run')
  const env = { ...home.env, PASSWORD: SECRET, API_TOKEN: token }
  const headers = { authorization: `Bearer ${token}` }
  await api.call('POST', '/v1/runs', {
    headers,
    body: { command: ['true'], cwd: home.project, env, stdin: SECRET },
  })
  await api.call('POST', '/v1/runs', { headers, body: { command: ['nope'], cwd: home.project, env } })
  await api.call('GET', `/v1/runs?token=${token}`, { headers })
  const file = join(home.env['THAW_HOME'] as string, 'state', 'daemon.log')
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  for (const line of lines) {
    expect(JSON.parse(line)).toMatchObject({
      time: expect.any(String),
      level: expect.any(String),
      message: expect.any(String),
    })
  }
  const shown = await home.run(['logs', '--daemon'])
  expect(shown).toMatchObject({ code: 0, stderr: '' })
  expect(shown.stdout).toMatch(/^\d{4}-\d\d-\d\dT\S+Z info {2}ready pid=\d+ version=/m)
  for (const text of [lines.join('\n'), shown.stdout, (await api.get('/metrics')).text]) {
    expect(text).not.toContain(SECRET)
    expect(text).not.toContain(token)
    expect(text).not.toContain(token.slice(18))
  }
  const follower = home.start(['logs', '--daemon', '-f'])
  await until('it shows what was there', () => follower.text('stdout').includes('ready'))
  await home.run(['daemon', 'stop', '--force'])
  await until('it shows what came', () => follower.text('stdout').includes('stopping'))
  follower.child.kill('SIGTERM')
  await follower.ended
  expect((await home.run(['logs', '--daemon'])).stdout).toContain('stopping')
})
