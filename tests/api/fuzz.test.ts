import fc from 'fast-check'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home } from '../support/home.js'
import { anyText, Arbitraries, type Schema } from '../support/schema.js'

interface Operation {
  method: string
  path: string
  parameters: { name: string; in: string; schema: Schema }[]
  body: Schema | null
}

/** They would end the daemon, fetch things from elsewhere, or wait for as long as a program likes. */
const LEFT_OUT = ['/v1/daemon/stop', '/v1/setup', '/v1/runs/{id}/verify', '/v1/daemon/tcp']
const CALLS = 500
const SECONDS = 12

let home: Home
let api: Api
let arbitraries: Arbitraries
let operations: Operation[]
let ids: string[]

beforeAll(async () => {
  home = new Home()
  api = await Api.start(home, { scope: 'admin' })
  const document = (await api.get('/openapi.json')).json
  operations = Object.entries<Record<string, any>>(document.paths) // oxlint-disable-line typescript/no-explicit-any
    .filter(([path]) => !LEFT_OUT.includes(path))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, one]) => ({
        method: method.toUpperCase(),
        path,
        parameters: one.parameters ?? [],
        body: one.requestBody?.content?.['application/json']?.schema ?? null,
      })),
    )
  home.write('app.py', 'import time\ndef late():\n    print("late")\ntime.sleep(0.1)\nlate()\n')
  const body = { command: ['python3', 'app.py'], cwd: home.project, env: home.env }
  const { json } = await api.post('/v1/runs', body, { prefer: 'wait=30' })
  const { checkpoints } = (await api.get(`/v1/runs/${json.run}/tree`)).json
  ids = [json.id, json.run, ...json.branches, ...checkpoints.map(({ id }: { id: string }) => id), 'last']
  arbitraries = new Arbitraries(document.components.schemas, ids)
})
afterAll(() => home[Symbol.asyncDispose]())

/** What a run may be asked to do here; the rest of its request is as it comes. */
const COMMANDS: string[][] = [
  ['true'],
  ['python3', 'app.py'],
  ['sh', '-c', 'exit 3'],
  [''],
  ['no-such-program', '\0'],
  ['..'],
  [],
]

function callOf(operation: Operation) {
  const parameters = operation.parameters.map((one) =>
    (one.in === 'path'
      ? fc.oneof(fc.constantFrom(...ids), anyText())
      : fc.option(arbitraries.valueOf(one.schema))
    ).map((value) => ({ ...one, value })),
  )
  const isRun = operation.method === 'POST' && operation.path === '/v1/runs'
  const body = operation.body === null ? fc.constant(undefined) : arbitraries.valueOf(operation.body)
  return fc.record({
    operation: fc.constant(operation),
    parameters: fc.tuple(...parameters),
    body: !isRun
      ? body
      : fc.record({ given: body, command: fc.constantFrom(...COMMANDS) }).map(({ given, command }) =>
          typeof given === 'object' && given !== null && !Array.isArray(given)
            ? // The process engine would fetch what it lacks.
              { ...given, command, cwd: home.project, env: home.env, engine: 'fork' }
            : given,
        ),
  })
}

/** A header's value as a client can send it. */
const headerText = (value: unknown) => String(value).replace(/[^\x20-\x7e]/g, '')

it('every operation answers whatever comes with what the catalogue says, and nothing leaves the state', async () => {
  const secret = join(home.directory, 'secret')
  writeFileSync(secret, 'mine')
  const outside = readdirSync(home.directory).sort()
  const statuses = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...operations).chain((operation) => callOf(operation)),
      async ({ operation, parameters, body }) => {
        let path = operation.path
        const query = new URLSearchParams()
        const headers: Record<string, string> = {}
        for (const { name, in: where, value } of parameters) {
          if (where === 'path') path = path.replace(`{${name}}`, encodeURIComponent(String(value)))
          else if (value === null || value === undefined) continue
          else if (where === 'query') query.set(name, String(value))
          else if (name !== 'prefer') headers[name] = headerText(value)
        }
        // What waits for ends is asked elsewhere; here each answer is to come at once.
        if (path.endsWith('/events')) headers['last-event-id'] ??= '0.0'
        const answer = await api.call(operation.method, `${path}?${query}`, { headers, body })
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
        const told = `${operation.method} ${path}: ${answer.status} ${answer.text.slice(0, 500)}`
        if (answer.status >= 500) throw new Error(told)
        if (answer.status >= 400 && !/^[A-Z_]+$/.test(answer.json?.code ?? '')) throw new Error(told)
        if (/root:x:0/.test(answer.text)) throw new Error(told)
      },
    ),
    { numRuns: CALLS, interruptAfterTimeLimit: SECONDS * 1000, endOnFailure: true, seed: seedOf() },
  )
  expect((await api.get('/healthz')).status).toBe(200)
  expect(existsSync(secret)).toBe(true)
  expect(readdirSync(home.directory).sort()).toEqual(outside)
  // Otherwise nothing but refusals would have been tried.
  expect(statuses.get(200) ?? 0).toBeGreaterThan(20)
  expect(statuses.get(400) ?? 0).toBeGreaterThan(20)
}, 60_000)

it('raw requests that are no HTTP, or not the one they say, do not end it', async () => {
  for (const [path, headers] of [
    ['/v1/runs/%', {}],
    ['/v1/runs/%ff%fe', {}],
    [`/v1/runs/${'a'.repeat(5000)}`, {}],
    ['/v1/runs', { 'content-type': 'text/plain' }],
    ['//v1/runs', {}],
    ['/v1/../../etc/passwd', {}],
  ] as const) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const { status } = await api.call(method, path, {
        headers,
        ...(method === 'POST' ? { body: '<a>' } : {}),
      })
      expect([method, path, status >= 200 && status < 500]).toEqual([method, path, true])
    }
  }
  expect((await api.get('/healthz')).status).toBe(200)
})

/** Another one each time; fast-check prints it when something fails. */
function seedOf(): number {
  return Number(process.env['THAW_TEST_SEED'] ?? Date.now() % 2 ** 31)
}
