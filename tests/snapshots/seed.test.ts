/** What callers of NQRust type, as it stands in its guide but for the port, with redis as what a container runs. */
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Instance, Snapshot } from '@thaw/protocol'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { redisRoot, unpackDebian } from '../support/instances.js'
import { whyNot } from '../support/process.js'
import { pagesOf } from '../support/products.js'

const why = await whyNot()
const redis = why === null ? redisRoot() : null
const hasCurl = spawnSync('curl', ['--version']).status === 0
const reason = why ?? (redis === null ? 'redis cannot be fetched' : hasCurl ? null : 'there is no curl')
if (reason !== null) console.warn(`tests/snapshots/seed.test.ts is skipped: ${reason}`)

/** Directories of programs that the machine may lack, with their libraries. */
function findJq(): NodeJS.ProcessEnv {
  if (spawnSync('jq', ['--version']).status === 0) return {}
  const root = unpackDebian('jq', ['jq', 'libjq1', 'libonig5'])
  if (root === null) return {}
  const library = readdirSync(join(root, 'usr/lib')).map((name) => join(root, 'usr/lib', name))
  return {
    PATH: `${join(root, 'usr/bin')}${delimiter}${process.env['PATH'] ?? ''}`,
    LD_LIBRARY_PATH: library.join(':'),
  }
}

function say(port: number | undefined, ...lines: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: port ?? 0, host: '127.0.0.1' })
    text(socket).then(resolve, reject)
    socket.write([...lines, 'QUIT', ''].join('\r\n'))
  })
}

describe.skipIf(reason !== null)('the guide of NQRust', () => {
  let home: Home
  let port: string
  let env: NodeJS.ProcessEnv
  /** A line of the guide. */
  const type = (line: string): string =>
    execFileSync('bash', ['-c', line.replaceAll('18080', port)], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  const logged = () => readFileSync(join(home.directory, 'home/state/daemon.log'), 'utf8')
  const create = (name: string) =>
    JSON.parse(
      type(
        `curl -X POST http://127.0.0.1:18080/v1/containers -H "Content-Type: application/json" -d '{"name": "${name}", "image": "nginx:alpine"}'`,
      ),
    ) as { id: string; item: Instance }
  let snapshot: Snapshot
  const get = (id: string) =>
    JSON.parse(type(`curl http://127.0.0.1:18080/v1/runtime-snapshots/${id} | jq .`)) as Snapshot

  beforeAll(async () => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_SNAPSHOT_AUTO: '0' })
    env = findJq()
    const path = join(home.directory, 'redis')
    cpSync(redis ?? '', path, { recursive: true, verbatimSymlinks: true })
    mkdirSync(join(path, 'data'))
    writeFileSync(join(path, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\n')
    const definition = {
      kind: 'rootfs',
      name: 'nginx:alpine',
      path,
      command: ['/usr/bin/redis-server', '--dir', '/data', '--save', ''],
      ports: [6379],
      readiness: { command: ['/usr/bin/redis-cli', 'ping'] },
      env: { LC_ALL: 'C' },
    }
    const file = home.write('image.json', JSON.stringify(definition))
    const { tcp } = await home.json<{ tcp: { port: number } }>([
      'daemon',
      'start',
      '--tcp',
      '127.0.0.1:0',
      '--no-token',
    ])
    port = String(tcp.port)
    const made = await home.run(['image', 'create', file])
    expect(made.stderr).toBe('')
  })
  afterAll(() => home[Symbol.asyncDispose]())

  it('cold, a snapshot, warm: its section on verification', async () => {
    expect(create('cold').item).toMatchObject({
      boot_method: 'cold',
      boot_reason: 'no snapshot of nginx:alpine exists',
    })
    const images = type(
      `curl http://127.0.0.1:18080/v1/images | jq -r '.items[] | select(.path | contains("redis")) | .id'`,
    )
    type(`curl -X POST http://127.0.0.1:18080/v1/runtime-snapshots \\
      -H "Content-Type: application/json" \\
      -d '{"runtime_image_id": "${images.trim()}"}'`)
    const [line] = type(
      `curl http://127.0.0.1:18080/v1/runtime-snapshots | jq -c '.items[] | {id, state, runtime_image_id}'`,
    ).split('\n')
    const { id, runtime_image_id } = JSON.parse(line ?? '') as { id: string; runtime_image_id: string }
    expect(runtime_image_id).toBe(images.trim())
    await until('it is ready', () => get(id).state === 'ready', 30)
    snapshot = get(id)
    const one = create('test-warm')
    const CONTAINER_ID = one.id
    expect(type(`curl http://127.0.0.1:18080/v1/containers/${CONTAINER_ID} | jq .item.boot_method`)).toBe(
      '"warm"\n',
    )
    expect(logged()).toMatch(/Container test-warm fully provisioned via warm boot \(saved ~[\d.]+s\)/)
    expect(one.item.saved_seconds).toBeGreaterThanOrEqual(0)
    expect(await say(one.item.ports[0]?.host, 'SET a b', 'GET a')).toBe('+OK\r\n$1\r\nb\r\n+OK\r\n')
    expect(
      type(
        `curl http://127.0.0.1:18080/v1/runtime-snapshots/${id} | jq -c '{state, success_count, failure_count}'`,
      ),
    ).toBe('{"state":"ready","success_count":1,"failure_count":0}\n')
  })

  it('falls back, heals, rebuilds: its section on troubleshooting', async () => {
    truncateSync(pagesOf(get(snapshot.id).path), 8192)
    for (const name of ['one', 'two', 'three']) expect(create(name).item.boot_method).toBe('cold')
    expect(logged()).toMatch(/falling back to cold boot: snapshot .* is not what was written/)
    expect(logged()).toContain('Container three fully provisioned via cold boot')
    expect(create('four').item).toMatchObject({ boot_method: 'warm', from: snapshot.id })
    expect(get(snapshot.id)).toMatchObject({ state: 'ready', builds: 2, failure_count: 3 })
    type(`curl -X POST http://127.0.0.1:18080/v1/runtime-snapshots/${snapshot.id}/rebuild`)
    await until('it is built again', () => get(snapshot.id).builds === 3, 30)
    const metrics = type('curl http://127.0.0.1:18080/metrics')
    expect(metrics).toContain('thaw_instance_boots_total{method="cold"} 4')
    expect(metrics).toContain('thaw_instance_boots_total{method="warm"} 2')
    expect(metrics).toContain('thaw_instance_fallbacks_total{reason="none"} 1')
    expect(metrics).toContain('thaw_instance_fallbacks_total{reason="damaged"} 3')
    type(`curl -X DELETE http://127.0.0.1:18080/v1/runtime-snapshots/${snapshot.id}`)
    expect(create('five').item.boot_method).toBe('cold')
  })

  it('the same by the command line, and a pool', async () => {
    const done = await home.run(['snapshot', 'create', 'nginx:alpine', '--name', 'web'])
    expect(done.stderr).toMatch(
      /^start: .*\nwait: .*\nverify: .*\nnetwork: .*\npause: .*\ncheckpoint: .*\nstore: .*\ndestroy: /,
    )
    expect(done.code).toBe(0)
    expect((await home.run(['snapshot', 'verify', 'web'])).stdout).toMatch(
      /^web is whole and becomes ready: /,
    )
    const wrong = await home.run(['pool', 'create', 'web', '--size', '21'])
    expect(wrong.stderr).toContain('A pool has from 1 to 20 members, not 21.')
    expect(await home.json(['pool', 'create', 'web', '--size', '2', '--name', 'p'])).toMatchObject({
      ready: 2,
      size: 2,
    })
    const taken = await home.json<Instance>(['pool', 'take', 'p', '--name', 'taken'])
    expect(taken.boot_method).toBe('pool')
    expect(await say(taken.ports[0]?.host, 'PING')).toBe('+PONG\r\n+OK\r\n')
    const orphan = await home.run(['snapshot', 'rm', 'web'])
    expect(orphan.stderr).toMatch(/HAS_DEPENDENTS: p depends on s_/)
    expect((await home.run(['snapshot', 'rm', 'web', '--cascade'])).code).toBe(0)
    expect(await home.json(['pool', 'ls'])).toEqual([])
    expect(await say(taken.ports[0]?.host, 'PING')).toBe('+PONG\r\n+OK\r\n')
  })

  it('names the range of a setting', async () => {
    await using other = new Home({ THAW_POOL_SIZE: '21' })
    expect((await other.run(['daemon', 'start'])).stderr).toMatch(/THAW_POOL_SIZE: .*from 1 to 20/)
    await using slow = new Home({ THAW_SNAPSHOT_REFRESH_SECS: '59' })
    expect((await slow.run(['daemon', 'start'])).stderr).toMatch(/THAW_SNAPSHOT_REFRESH_SECS: .*at least 60/)
  })
})
