/** The tools for instances, driven by the official client as an agent would. */
import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { connectMcp } from '../support/mcp.js'
import { whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/mcp/instances.test.ts is skipped: ${why}`)

/** Takes its time to become ready, and counts what it is asked. */
const SERVER = `import http.server, sys, time
time.sleep(0.8)
asked = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"asked {asked}\\n".encode())
    def log_message(self, *_):
        print("served", flush=True)
server = http.server.HTTPServer(("127.0.0.1", 8080), Handler)
print("ready", flush=True)
server.serve_forever()
`

let home: Home
let client: Client
let call: Awaited<ReturnType<typeof connectMcp>>['call']

beforeAll(async () => {
  if (why !== null) return
  home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_SNAPSHOT_AUTO: '0' })
  ;({ client, call } = await connectMcp(home))
  home.write('server.py', SERVER)
  const definition = {
    kind: 'directory',
    name: 'counter',
    path: '.',
    command: ['python3', 'server.py'],
    ports: [8080],
    readiness: { output: 'ready' },
  }
  home.write('image.json', JSON.stringify(definition))
  expect((await home.run(['image', 'create', 'image.json'])).code).toBe(0)
})
afterAll(async () => {
  await client?.close()
  await home?.[Symbol.asyncDispose]()
})

const said = async (name: string, given: Record<string, unknown> = {}) => {
  const { text, isError } = await call(name, given)
  expect(isError, text).toBe(false)
  return text
}
const portIn = (text: string) => Number(/127\.0\.0\.1:(\d+)/.exec(text)?.[1])
const ask = async (text: string) => (await fetch(`http://127.0.0.1:${portIn(text)}/`)).text()

describe.skipIf(why !== null)('tools for instances', () => {
  it('make one, work in it, tell why it was cold, and keep it for the next', async () => {
    expect(await said('list', { what: 'instances' })).toBe('There are no instances. Next: create.')
    expect(await said('list', { what: 'images' })).toMatch(/^counter {2}directory {2}python3 server\.py/)
    const cold = await said('create', { image: 'counter', name: 'one' })
    expect(cold).toMatch(
      /^one {2}i_\w+ {2}of counter: ready, cold in \d\.\d{3} s, port 8080 at 127\.0\.0\.1:\d+\nNext: exec/,
    )
    expect(await ask(cold)).toBe('asked 1\n')
    expect(await said('exec', { instance: 'one', command: 'cat', input: 'typed' })).toBe(
      'exit 0\n--- stdout\ntyped',
    )
    expect(await said('exec', { instance: 'one', command: 'echo out; echo err >&2; exit 3' })).toBe(
      'exit 3\n--- stdout\nout\n--- stderr\nerr',
    )
    expect(
      (await said('exec', { instance: 'one', command: 'seq 1 100000', max_output: 1000 })).length,
    ).toBeLessThan(1500)
    expect(await said('logs', { id: 'one', match: 'served' })).toBe('1 line matches\n2: served')
    const reason = await said('explain', { id: 'one' })
    expect(reason).toMatch(/boot: cold, .*\nwhy not faster: no snapshot of counter exists\n/)
    expect(reason).toMatch(/Next: keep \(image counter\)/)

    const kept = await said('keep', { image: 'counter', name: 'base', pool_size: 2 })
    expect(kept).toMatch(/^base {2}s_\w+ {2}of counter: ready, spares a start of \d\.\d\d s/)
    expect(kept).toMatch(/base {2}p_\w+ {2}of counter: 2 of 2 ready\n/)
    const taken = await said('create', { pool: 'base', name: 'taken' })
    expect(taken).toMatch(/taken {2}i_\w+ .*, pool in 0\.\d{3} s/)
    expect(await ask(taken)).toBe('asked 1\n')
    const warm = await said('create', { snapshot: 'base', count: 2, name: 'warm' })
    expect(warm).toMatch(/^warm-1 .*, warm in .*\nwarm-2 .*, warm in /)
    expect(await said('explain', { id: 'warm-1' })).toMatch(/boot: warm from s_\w+, .* less than a start/)

    const clones = await said('create', { instance: 'one', count: 2 })
    expect(clones.match(/: ready, warm in/g)).toHaveLength(2)
    expect(await ask(clones)).toBe('asked 2\n')

    for (const name of ['one', 'taken', 'warm-1', 'warm-2']) {
      expect(await said('stop', { id: name })).toBe(`Ended and forgot ${name}.`)
    }
    const pools = await said('list', { what: 'pools' })
    expect(await said('stop', { id: /p_\w+/.exec(pools)?.[0] })).toMatch(/^Removed the pool base/)
    const snapshots = await said('list', { what: 'snapshots' })
    expect(await said('stop', { id: /s_\w+/.exec(snapshots)?.[0] })).toMatch(/^Removed s_/)
    for (const id of (await said('list', { what: 'instances' })).match(/i_\w+/g) ?? [])
      await said('stop', { id })
    expect(await said('list', { what: 'instances' })).toMatch(/^There are no instances/)
  })

  it('say what to do next when something is wrong', async () => {
    const failed = async (name: string, given: Record<string, unknown>) => {
      const { text, isError } = await call(name, given)
      expect(isError, text).toBe(true)
      return text
    }
    expect(await failed('create', {})).toMatch(/^INVALID_REQUEST: Exactly one .* The tool list/)
    expect(await failed('create', { image: 'none' })).toMatch(/^IMAGE_NOT_FOUND: .*The tool list \(images\)/)
    expect(await failed('exec', { instance: 'none', command: 'true' })).toMatch(
      /^INSTANCE_NOT_FOUND: .*The tool list \(instances\)/,
    )
    expect(await failed('create', { snapshot: 'x', env: { A: 'b' } })).toMatch(
      /^INVALID_REQUEST: .*Give image/,
    )
    // Of several either all are made or none.
    await said('create', { image: 'counter', name: 'several-2' })
    expect(await failed('create', { image: 'counter', name: 'several', count: 3 })).toMatch(/^NAME_TAKEN: /)
    expect((await said('list', { what: 'instances' })).match(/several/g)).toHaveLength(1)
    const late = await failed('exec', { instance: 'several-2', command: 'sleep 4816', wait_seconds: 1 })
    expect(late).toMatch(/^TIMEOUT: sleep had not ended after 1 s/)
    const sleeps = async () =>
      (await said('exec', { instance: 'several-2', command: 'ps ax' })).includes('sleep 4816')
    await until('it was ended', async () => !(await sleeps()))
    await said('stop', { id: 'several-2' })
  })
})
