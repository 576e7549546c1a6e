/** The description that requests are checked against: what it is worth, and that a wrong request does not pass it. */
import { Validator } from '@seriousme/openapi-schema-validator'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { startProcess, type Child } from '../../../packages/thaw/src/system/index.js'
import { root, until } from '../../support/home.js'
import { Bench, soon } from './bench.js'

type Json = Record<string, unknown>
interface Description {
  paths: Record<string, Record<string, Json>>
  definitions: Record<string, Json>
}
const written = JSON.parse(
  readFileSync(join(root, 'tests', 'vm', 'firecracker', 'interface.json'), 'utf8'),
) as Description & Json

it('is a valid description', async () => {
  expect(await new Validator().validate(structuredClone(written))).toEqual({ valid: true })
})

const published = process.env['THAW_FIRECRACKER_API']
if (published === undefined) {
  console.warn(
    'the comparison with the published description is skipped: THAW_FIRECRACKER_API names no firecracker.yaml',
  )
}
describe.skipIf(published === undefined)('beside the published one', () => {
  /** Without what only explains, and with what says the same in two ways. */
  const bare = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(bare)
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value).filter(
      ([name, content]) => !(name === 'description' && typeof content === 'string') && name !== 'summary',
    )
    return Object.fromEntries(entries.map(([name, content]) => [name, bare(content)]))
  }
  const theirs = (): Description => parse(readFileSync(published ?? '', 'utf8')) as Description

  it('defines the same', () => {
    for (const [name, ours] of Object.entries(written.definitions)) {
      expect(bare(ours), name).toEqual(bare(theirs().definitions[name]))
    }
  })

  it('takes and answers the same', () => {
    const operations = Object.entries(written.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, ours]) => ({ path, method, ours })),
    )
    const body = (parameters: Json[] = []) => bare(parameters.find((one) => one['in'] === 'body')?.['schema'])
    for (const { path, method, ours } of operations) {
      const other = theirs().paths[path]?.[method] ?? {}
      expect(other['operationId'], path).toBe(ours['operationId'])
      expect(Object.keys(ours['responses'] as Json), path).toEqual(Object.keys(other['responses'] as Json))
      expect(body(ours['parameters'] as Json[]), path).toEqual(body(other['parameters'] as Json[]))
    }
  })
})

describe('a request that Firecracker would refuse', () => {
  let bench: Bench
  let child: Child
  let socket: string
  beforeAll(async () => {
    bench = new Bench()
    const directory = bench.empty()
    socket = join(directory, 'api.sock')
    const argv = [bench.program(), '--id', 'x', '--api-sock', 'api.sock']
    child = await startProcess(
      argv,
      { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] },
      soon(600_000),
    )
    await until(
      'it answers',
      () =>
        ask('GET', '/').then(
          () => true,
          () => false,
        ),
      30,
    )
  })
  afterAll(async () => {
    await child[Symbol.asyncDispose]()
    bench[Symbol.dispose]()
  })

  function ask(method: string, path: string, body?: object, chunked = false): Promise<number> {
    const bytes = body === undefined ? undefined : JSON.stringify(body)
    const headers = bytes === undefined || chunked ? {} : { 'content-length': Buffer.byteLength(bytes) }
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: socket, method, path, headers, agent: false }, (response) => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0))
      })
      sent.once('error', reject)
      if (bytes !== undefined) sent.write(bytes)
      sent.end()
    })
  }

  const vsock = { guest_cid: 3, uds_path: 'agent.sock' }
  it('is one in pieces, too', async () => {
    expect(await ask('PUT', '/vsock', vsock, true)).toBe(400)
  })

  // The last one ends it.
  it.each([
    ['PUT', '/vsock', vsock, 204],
    ['GET', '/version', undefined, 200],
    ['PUT', '/machine-config', { vcpu_count: 2, mem_size_mib: 64 }, 204],
    ['PUT', '/vsock', { ...vsock, guest_cid: 2 }, 400],
    ['PUT', '/vsock', { ...vsock, guest_cid: '3' }, 400],
    ['PUT', '/vsock', { guest_cid: 3 }, 400],
    ['PUT', '/vsock', { ...vsock, color: 'red' }, 400],
    ['PUT', '/vsock', undefined, 400],
    ['PATCH', '/vsock', vsock, 400],
    ['PUT', '/vsocks', vsock, 400],
    ['GET', '/version', {}, 400],
    [
      'PUT',
      '/drives/a',
      { drive_id: 'b', is_root_device: false, is_read_only: true, path_on_host: '/' },
      400,
    ],
    ['PUT', '/machine-config', { vcpu_count: 33, mem_size_mib: 64 }, 400],
    ['PATCH', '/vm', { state: 'Paused' }, 400],
    ['PUT', '/snapshot/load', { snapshot_path: 'state' }, 400],
  ])('%s %s %j: %i', async (method, path, body, status) => {
    expect(await ask(method, path, body)).toBe(status)
  })
})
