import { Client, fetchTransport } from '@thaw/sdk'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, root } from '../support/home.js'

let home: Home
let api: Api
let client: Client
beforeAll(async () => {
  home = new Home()
  api = await Api.start(home)
  client = new Client(fetchTransport(api.url, api.token ?? undefined))
})
afterAll(() => home[Symbol.asyncDispose]())

const start = (command: string[]) => client.runs.start({ command, cwd: home.project, env: home.env })

it('follows a run as it prints, and waits for its end', async () => {
  const operation = await start(['sh', '-c', 'echo one; sleep 0.5; echo two; exit 4'])
  expect(operation.latest.state).toBe('running')
  let seen = ''
  for await (const event of operation.events()) seen += event.t === 'stdout' ? event.text : `${event.t}\n`
  expect(seen).toBe('started\none\ntwo\nend\n')
  expect(operation.latest).toMatchObject({ state: 'done', report: { exit: { code: 4 } } })
  expect((await operation.wait()).summary).toMatch(/^ran cold/)
})

it('gives up waiting when told to; the run goes on until it is cancelled', async () => {
  const operation = await start(['sleep', '60'])
  expect((await operation.wait({ seconds: 1 })).state).toBe('running')
  const abort = new AbortController()
  const waiting = operation.wait({ signal: abort.signal })
  setTimeout(() => abort.abort(), 100)
  await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' })
  const found = await client.operations.get(operation.id)
  expect(found.latest.state).toBe('running')
  await found.cancel()
  await expect(operation.wait()).rejects.toMatchObject({ code: 'CANCELLED' })
})

it('leaves events when its reader does', async () => {
  const operation = await start(['sh', '-c', 'while echo on; do sleep 0.1; done'])
  for await (const event of operation.events()) if (event.t === 'stdout') break
  await operation.cancel()
})

it('throws errors with their codes', async () => {
  await expect(start(['no-such-program'])).rejects.toMatchObject({
    code: 'COMMAND_NOT_FOUND',
    hint: expect.any(String),
  })
  const stranger = new Client(fetchTransport(api.url, 'thaw_nothing'))
  await expect(stranger.runs.list()).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  await expect(client.tokens.list()).rejects.toMatchObject({ code: 'FORBIDDEN' })
  const nobody = new Client(fetchTransport('http://127.0.0.1:1'))
  await expect(nobody.runs.list()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
})

it('lists every page', async () => {
  const before = (await client.runs.list()).length
  for (let n = 0; n < 3; n++) await (await start(['sh', '-c', `exit ${n}`])).wait()
  const runs = await client.runs.list()
  expect(runs.length).toBe(before + 3)
  const [last] = runs
  expect((await client.branches.list(last?.id ?? '')).length).toBeGreaterThan(0)
  expect(await client.checkpoints.list({ run: last?.id ?? '' })).toEqual([])
})

it('needs nothing of Node', async () => {
  const { outputFiles } = await build({
    stdin: { contents: `export * from '@thaw/sdk'`, resolveDir: root },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    conditions: ['thaw-source'],
    logLevel: 'silent',
  })
  expect(outputFiles).toHaveLength(1)
})
