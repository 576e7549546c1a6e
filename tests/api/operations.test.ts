import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, until } from '../support/home.js'

let home: Home
let api: Api
beforeAll(async () => {
  home = new Home({ THAW_FACTOR: '1' })
  api = await Api.start(home)
})
afterAll(() => home[Symbol.asyncDispose]())

const start = (command: string[], more: object = {}, headers: Record<string, string> = {}) =>
  api.post('/v1/runs', { command, cwd: home.project, env: home.env, ...more }, headers)
const wait = { prefer: 'wait=30' }

/** The events of a body of server-sent events, without their ids. */
function eventsOf(text: string) {
  return text
    .split('\n\n')
    .flatMap((block) => /^data: (.*)$/m.exec(block)?.[1] ?? [])
    .map((data) => JSON.parse(data) as { t: string; text?: string; operation?: { state: string } })
}
const printed = (text: string, stream: string) =>
  eventsOf(text)
    .filter(({ t }) => t === stream)
    .map((event) => event.text)
    .join('')

it('runs a command to its end within the time that the caller waits', async () => {
  const done = await start(['sh', '-c', 'cat; echo err >&2; exit 3'], { stdin: 'grüße\n' }, wait)
  expect(done).toMatchObject({
    status: 200,
    json: {
      kind: 'run',
      state: 'done',
      error: null,
      report: { outcome: 'cold', exit: { code: 3, signal: null } },
    },
  })
  expect(done.headers['location']).toBe(`/v1/operations/${done.json.id}`)
  const [branch] = done.json.branches
  expect((await api.get(`/v1/branches/${branch}/logs?stream=stdout`)).text).toBe('grüße\n')
  expect((await api.get(`/v1/branches/${branch}/logs`)).text).toBe('grüße\nerr\n')
  expect((await api.get(`/v1/runs/${done.json.run}/logs?stream=stdout&tail=2`)).text).toBe('e\n')
})

it('answers 202 while it runs; its events tell the rest, also to one who comes again', async () => {
  const begun = await start(['sh', '-c', 'echo one; sleep 1; echo two; sleep 0.3; echo three >&2'])
  expect(begun).toMatchObject({ status: 202, json: { state: 'running', report: null } })
  const events = await api.get(`/v1/operations/${begun.json.id}/events`)
  expect(events.headers['content-type']).toBe('text/event-stream; charset=utf-8')
  expect(events.headers['access-control-allow-origin']).toBe('*')
  const names = eventsOf(events.text).map(({ t }) => t)
  expect([names[0], names.at(-1), new Set(names).size]).toEqual(['started', 'end', 4])
  expect(printed(events.text, 'stdout')).toBe('one\ntwo\n')
  expect(eventsOf(events.text).at(-1)?.operation?.state).toBe('done')
  const again = await api.get(`/v1/operations/${begun.json.id}/events`, {
    headers: { 'last-event-id': '4.0' },
  })
  expect(printed(again.text, 'stdout')).toBe('two\n')
  expect(printed(again.text, 'stderr')).toBe('three\n')
  const nonsense = await api.get(`/v1/operations/${begun.json.id}/events`, {
    headers: { 'last-event-id': '../x' },
  })
  expect(printed(nonsense.text, 'stdout')).toBe('one\ntwo\n')
})

it('does not cut characters in events', async () => {
  const text = 'äöü€😀'.repeat(20_000)
  home.write('wide.txt', text)
  const begun = await start(['sh', '-c', 'dd if=wide.txt bs=1021 2>/dev/null'])
  const events = await api.get(`/v1/operations/${begun.json.id}/events`)
  expect(printed(events.text, 'stdout')).toBe(text)
})

it('resumes after an edit, stops at a place, and goes on from there in several branches', async () => {
  const source =
    'import time\ndef load():\n    time.sleep(0.4)\n    return 2\ndef show(n):\n    print("n is", n)\nshow(load())\n'
  home.write('app.py', source)
  const command = ['python3', 'app.py']
  expect((await start(command, {}, wait)).json.report.outcome).toBe('cold')
  home.write('app.py', source.replace('n is', 'N is'))
  const second = await start(command, {}, wait)
  expect(second.json.report).toMatchObject({ outcome: 'resumed', checkpoint: { before: 'show' } })

  const stopped = await start(command, { break: ['app.py:show'] }, wait)
  expect(stopped.json).toMatchObject({ state: 'done', report: { outcome: 'stopped', exit: null } })
  const checkpoint: string = stopped.json.report.checkpoint.id
  const resumed = await api.post(`/v1/checkpoints/${checkpoint}/resume`, { count: 3 }, wait)
  expect(resumed).toMatchObject({ status: 200, json: { kind: 'resume', state: 'done' } })
  expect(resumed.json.branches).toHaveLength(3)
  expect(resumed.json.report.branches.map(({ exit }: { exit: object }) => exit)).toEqual(
    Array.from({ length: 3 }, () => ({ code: 0, signal: null })),
  )
  const events = await api.get(`/v1/operations/${resumed.json.id}/events`)
  expect(printed(events.text, 'stdout')).toBe('N is 2\n'.repeat(3))

  const [a, b] = resumed.json.branches
  expect((await api.get(`/v1/compare?a=${a}&b=${b}`)).json).toMatchObject({
    same: true,
    stdout: { same: true, diff: '', complete: true },
  })
  const first = (await api.get(`/v1/branches?run=${second.json.run}`)).json.branches.at(-1).id
  const other = (await api.get(`/v1/compare?a=${first}&b=${a}`)).json
  expect(other).toMatchObject({ same: false, stdout: { same: false }, stderr: { same: true } })
  expect(other.stdout.diff).toContain('-n is 2\n+N is 2\n')

  home.write('app.py', source.replace('return 2', 'return 5'))
  expect(await api.post(`/v1/checkpoints/${checkpoint}/resume`, {}, wait)).toMatchObject({
    status: 409,
    json: { code: 'NOT_EXACT' },
  })
  const hot = await api.post(`/v1/checkpoints/${checkpoint}/resume`, { mode: 'hot' }, wait)
  expect(hot.json.state).toBe('done')
  expect((await api.call('DELETE', `/v1/checkpoints/${checkpoint}?force=true`)).json).toEqual({
    removed: [checkpoint],
  })
  expect((await api.get(`/v1/checkpoints/${checkpoint}`)).status).toBe(404)
})

it('is cancelled with all that it runs', async () => {
  const begun = await start(['sh', '-c', 'trap "" TERM; echo on; sleep 60 & wait; sleep 60'])
  await until('it runs', async () => {
    return (await api.get(`/v1/branches/${begun.json.branches[0]}/logs`)).text.includes('on')
  })
  const done = await api.post(`/v1/operations/${begun.json.id}/cancel`)
  expect(done).toMatchObject({ status: 200, json: { state: 'cancelled' } })
  expect((await api.post(`/v1/operations/${begun.json.id}/cancel`)).json.state).toBe('cancelled')
})

it('fails with the error of the catalogue, and leaves nothing', async () => {
  const before = (await api.get('/v1/operations?limit=1000')).json.operations.length
  expect(await start(['no-such-program'])).toMatchObject({ status: 422, json: { code: 'COMMAND_NOT_FOUND' } })
  expect(await start(['true'], { cwd: '/no/such' })).toMatchObject({
    status: 422,
    json: { code: 'DIRECTORY_GONE' },
  })
  expect(await start(['true', 'a\0b'])).toMatchObject({ status: 400 })
  expect(await start(['true'], { break_output: '(' })).toMatchObject({ status: 400 })
  expect(await start(['true'], { unknown: 1 })).toMatchObject({ status: 400 })
  expect((await api.get('/v1/operations?limit=1000')).json.operations).toHaveLength(before)
})

it('does once what is sent twice with one key', async () => {
  const counter = join(home.project, 'count')
  writeFileSync(counter, '')
  const command = ['sh', '-c', `echo x >> ${counter}; sleep 0.3; wc -l < ${counter}`]
  const key = { 'idempotency-key': 'once', ...wait }
  const both = await Promise.all([start(command, {}, key), start(command, {}, key)])
  expect(both.map(({ status }) => status)).toEqual([200, 200])
  expect(both[1]?.text).toBe(both[0]?.text)
  expect(both.filter(({ headers }) => headers['idempotency-replayed'] === 'true')).toHaveLength(1)
  expect((await api.get(`/v1/branches/${both[0]?.json.branches[0]}/logs`)).text.trim()).toBe('1')
  expect(await start(['true'], {}, key)).toMatchObject({ status: 422, json: { code: 'KEY_REUSED' } })
  // Another caller's key is another key, and what failed may be tried again.
  const other = (await api.newToken('run')).token
  const mine = { ...key, authorization: `Bearer ${other}` }
  expect((await start(['true'], {}, mine)).status).toBe(200)
  const failing = { 'idempotency-key': 'later' }
  expect((await start(['./made-later'], {}, failing)).status).toBe(422)
  writeFileSync(join(home.project, 'made-later'), '#!/bin/sh\n', { mode: 0o755 })
  expect((await start(['./made-later'], {}, failing)).status).toBe(202)
})

it('lists in pages that neither repeat nor leave out', async () => {
  for (let n = 0; n < 5; n++) await start(['sh', '-c', `exit ${n}`], {}, wait)
  const whole = (await api.get('/v1/runs?limit=1000')).json
  expect(whole.next).toBeNull()
  const ids: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: { runs: { id: string }[]; next: string | null } = (
      await api.get(`/v1/runs?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`)
    ).json
    expect(page.runs.length).toBeLessThanOrEqual(2)
    ids.push(...page.runs.map(({ id }) => id))
    cursor = page.next
  }
  expect(ids).toEqual(whole.runs.map(({ id }: { id: string }) => id))
  expect((await api.get('/v1/runs?limit=0')).status).toBe(400)
  expect((await api.get('/v1/runs?cursor=nonsense')).status).toBe(400)
  expect((await api.get(`/v1/checkpoints?run=${ids[0]}&state=parked`)).status).toBe(200)
})

it('takes on no more than it can, and says so', async () => {
  const begun = await Promise.all(
    Array.from({ length: 70 }, (_, n) => start(['sh', '-c', `sleep 30; exit ${n % 7}`], {})),
  )
  const refused = begun.filter(({ status }) => status === 429)
  expect(refused.length).toBeGreaterThanOrEqual(6)
  expect(refused[0]).toMatchObject({ json: { code: 'TOO_MANY_REQUESTS' }, headers: { 'retry-after': '1' } })
  const running = begun.filter(({ status }) => status === 202)
  await Promise.all(running.map(({ json }) => api.post(`/v1/operations/${json.id}/cancel`)))
  expect((await start(['true'], {}, wait)).status).toBe(200)
})
