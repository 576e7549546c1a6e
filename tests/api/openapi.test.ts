import { Validator } from '@seriousme/openapi-schema-validator'
import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, root } from '../support/home.js'

interface Document {
  paths: Record<string, Record<string, { operationId?: string; responses: object; security: object[] }>>
}

let home: Home
let api: Api
let served: Document
beforeAll(async () => {
  home = new Home()
  api = await Api.start(home)
  served = (await api.get('/openapi.json')).json
})
afterAll(() => home[Symbol.asyncDispose]())

it('is served as it is in docs, but for the version', () => {
  const written = JSON.parse(readFileSync(join(root, 'docs', 'openapi.json'), 'utf8'))
  expect({ ...served, info: null }).toEqual({ ...written, info: null })
})

it('is valid', async () => {
  expect(
    await new Validator().validate(structuredClone(served) as unknown as Record<string, unknown>),
  ).toEqual({ valid: true })
})

it('names every operation, who may call it, and how it fails', () => {
  const operations = Object.values(served.paths).flatMap((methods) => Object.values(methods))
  const names = operations.map(({ operationId }) => operationId)
  expect(names).not.toContain(undefined)
  expect(new Set(names).size).toBe(names.length)
  for (const { operationId, responses, security } of operations) {
    expect([operationId, Object.keys(responses)]).toEqual([
      operationId,
      expect.arrayContaining(['4XX', '5XX']),
    ])
    expect([operationId, Array.isArray(security)]).toEqual([operationId, true])
  }
})

it('gives a client that compiles', async () => {
  const types = astToString(
    await openapiTS(structuredClone(served) as unknown as OpenAPI3, { defaultNonNullable: false }),
  )
  const use = `import type { paths } from './api.js'
type Started = paths['/v1/runs']['post']['responses'][202]['content']['application/json']
export const state = (one: Started): 'running' | 'done' | 'failed' | 'cancelled' => one.state
export const body: paths['/v1/runs']['post']['requestBody']['content']['application/json'] = { command: ['true'], cwd: '/' }
// @ts-expect-error a command is a list
export const wrong: paths['/v1/runs']['post']['requestBody']['content']['application/json'] = { command: 'true', cwd: '/' }
`
  const [api, main] = [home.write('api.ts', types), home.write('use.ts', use)]
  const program = ts.createProgram([api, main], {
    strict: true,
    noEmit: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [],
    lib: ['lib.es2022.d.ts'],
    skipLibCheck: true,
  })
  const problems = ts.getPreEmitDiagnostics(program)
  expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
})

it('can be read in a browser without anything from elsewhere', async () => {
  const page = await api.get('/docs')
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8')
  expect(page.headers['content-security-policy']).toContain("default-src 'none'")
  expect(page.text).not.toMatch(/<script|<link|<img|\bsrc=|https?:\/\//)
  for (const path of Object.keys(served.paths)) expect(page.text).toContain(`<code>${path}</code>`)
  // Every link within the page leads somewhere.
  const targets = [...page.text.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id as string)
  expect(targets.length).toBeGreaterThan(20)
  for (const id of targets) expect(page.text).toContain(`id="${id}"`)
})
