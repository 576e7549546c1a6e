/** `POST /v1/containers` with engine vm: Debian's own Docker engine in copies of a machine, with redis as what it runs. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Image, Instance, Snapshot } from '@thaw/protocol'
import { findPaths } from '../../../packages/thaw/src/system/index.js'
import { Api } from '../../support/api.js'
import { dockerArchive } from '../../support/archive.js'
import { Home, until } from '../../support/home.js'
import { busyboxRoot, redisRoot } from '../../support/instances.js'
import { processesWith, whyNot } from '../../support/vm.js'

const redis = redisRoot()
const reason = (await whyNot()) ?? (redis === null ? 'redis cannot be fetched' : null)
if (reason !== null) console.error(`tests/vm/docker: skipped, ${reason}`)

/** An archive as `docker save` writes it, of busybox and redis. */
async function archive(directory: string): Promise<string> {
  const root = join(directory, 'redis')
  if (busyboxRoot(root) === null) throw new Error('busybox cannot be fetched')
  cpSync(redis ?? '', root, { recursive: true, verbatimSymlinks: true, force: true })
  mkdirSync(join(root, 'data'))
  const layer = execFileSync('tar', ['-C', root, '--numeric-owner', '-c', '.'], { maxBuffer: 1 << 30 })
  const config = {
    Entrypoint: ['/usr/bin/redis-server'],
    Cmd: ['--save', ''],
    Env: ['LC_ALL=C', 'COLOUR=blue'],
    WorkingDir: '/data',
    ExposedPorts: { '6379/tcp': {} },
  }
  const file = join(directory, 'redis.tar')
  writeFileSync(file, await dockerArchive([layer], config, 'redis:7'))
  return file
}

function say(port: number | undefined, ...lines: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: port ?? 0, host: '127.0.0.1' })
    text(socket).then(resolve, reject)
    socket.write([...lines, 'QUIT', ''].join('\r\n'))
  })
}

describe.skipIf(reason !== null)('containers in machines', () => {
  let home: Home
  let api: Api
  let snapshot: Snapshot
  beforeAll(async () => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_SNAPSHOT_AUTO: '0' })
    api = await Api.start(home, { tokens: false })
    const built = await home.json<Image>(['image', 'build', 'thaw/docker', '--docker'])
    expect(built).toMatchObject({ engine: 'vm', readiness: { timeout: 600 } })
    const file = await archive(home.directory)
    await home.json(['image', 'import', file, '--name', 'redis:7'])
    const once = ['sh', '-c', 'echo begun; sleep 2; echo "ended $WHO" >&2; exit 4']
    for (const [name, command] of Object.entries({ once, wrong: ['/nothing/there'] })) {
      const definition = JSON.stringify({ kind: 'rootfs', name, path: file, command })
      await home.json(['image', 'create', home.write(`${name}.json`, definition)])
    }
    snapshot = await home.json<Snapshot>(['snapshot', 'create', 'thaw/docker', '--name', 'docker'])
  }, 900_000)
  afterAll(async () => {
    await home[Symbol.asyncDispose]()
    expect(home.processes()).toEqual([])
    expect(processesWith(home.directory)).toEqual([])
  }, 60_000)

  const container = async (body: object) => {
    const answer = await api.call('POST', '/v1/containers', { body: { engine: 'vm', ...body } })
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.json as { id: string; item: Instance }
  }
  let one: Instance

  it('run in a copy of a machine whose engine answers already; nothing is fetched', async () => {
    const { id, item } = await container({ name: 'cache', image: 'redis:7' })
    one = item
    expect(item).toMatchObject({
      id,
      name: 'cache',
      image: 'redis:7',
      container: 'redis:7',
      state: 'ready',
      boot_method: 'warm',
      from: snapshot.id,
    })
    expect((await api.call('GET', `/v1/containers/${id}`)).json.item.image).toBe('redis:7')
  })

  it('answer at their ports, and print into their logs what they print, and no more', async () => {
    expect(one.ports).toMatchObject([{ port: 6379 }])
    await until(
      'it listens',
      () =>
        say(one.ports[0]?.host, 'PING').then(
          (said) => said.startsWith('+PONG'),
          () => false,
        ),
      60,
    )
    expect(await say(one.ports[0]?.host, 'SET a b', 'GET a')).toBe('+OK\r\n$1\r\nb\r\n+OK\r\n')
    const printed = (await home.run(['instance', 'logs', 'cache'])).stdout
    expect(printed).toContain('Ready to accept connections')
    expect(printed).not.toMatch(/containerd|dockerd|level=/)
  })

  it('run other programs, with streams, environment and exit code', async () => {
    const asked = await home.run(['instance', 'exec', 'cache', 'redis-cli', 'get', 'a'])
    expect(asked).toMatchObject({ code: 0, stdout: 'b\n', stderr: '' })
    const script = 'echo "$COLOUR $OWN $(hostname) $(pwd)"; cat; echo wrong >&2; exit 5'
    const exec = ['instance', 'exec', '-e', 'OWN=yes', 'cache', 'sh', '-c', script]
    expect(await home.run(exec, { input: 'typed\n' })).toMatchObject({
      code: 5,
      stdout: 'blue yes cache /data\ntyped\n',
      stderr: 'wrong\n',
    })
    const missing = await home.run(['instance', 'exec', 'cache', 'nothere'])
    expect(missing.code).toBe(127)
    expect(missing.stderr).toMatch(/COMMAND_NOT_FOUND/)
  })

  it('take and give files', async () => {
    const file = home.write('note', 'written here\n')
    expect((await home.run(['instance', 'cp', file, 'cache:/data/deep/note'])).stderr).toBe('')
    expect((await home.run(['instance', 'exec', 'cache', 'cat', '/data/deep/note'])).stdout).toBe(
      'written here\n',
    )
    // Through a link, which leads within the container.
    expect((await home.run(['instance', 'exec', 'cache', 'ln', '-s', '/data/deep', '/srv/link'])).code).toBe(
      0,
    )
    const got = join(home.project, 'got')
    await home.run(['instance', 'cp', 'cache:/srv/link/note', got])
    expect(execFileSync('cat', [got], { encoding: 'utf8' })).toBe('written here\n')
    const none = await home.run(['instance', 'cp', 'cache:/nowhere', got])
    expect(none.stderr).toMatch(/PATH_REFUSED: \/nowhere does not exist/)
  })

  it('stand still when they are paused, and are not copied', async () => {
    expect((await home.run(['instance', 'pause', 'cache'])).code).toBe(0)
    const answer = say(one.ports[0]?.host, 'GET a')
    expect(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 1500, 'still'))])).toBe(
      'still',
    )
    expect((await home.run(['instance', 'resume', 'cache'])).code).toBe(0)
    expect(await answer).toContain('b')
    const refused = await home.run(['instance', 'fork', 'cache'])
    expect(refused.stderr).toMatch(/UNSUPPORTED: A machine is not copied together with its container/)
  })

  it('are apart: another one of the same image knows nothing of the first', async () => {
    const { item } = await container({ image: 'redis:7' })
    await until(
      'it listens',
      () =>
        say(item.ports[0]?.host, 'PING').then(
          (said) => said.startsWith('+PONG'),
          () => false,
        ),
      60,
    )
    expect(await say(item.ports[0]?.host, 'GET a')).toBe('$-1\r\n+OK\r\n')
    const removed = await api.call('DELETE', `/v1/containers/${item.id}`)
    expect(removed.json.item.state).toBe('deleted')
  })

  it('end with their exit code', async () => {
    const args = [
      'instance',
      'create',
      'thaw/docker',
      '--container',
      'once',
      '--name',
      'once',
      '-e',
      'WHO=alone',
    ]
    expect(await home.json<Instance>(args)).toMatchObject({ image: 'thaw/docker', container: 'once' })
    const look = () => home.json<Instance>(['instance', 'show', 'once'])
    await until('it has ended', async () => (await look()).state === 'stopped', 60)
    expect(await look()).toMatchObject({ exit: { code: 4, signal: null } })
    expect((await home.run(['instance', 'logs', 'once'])).stdout).toBe('begun\nended alone\n')
  })

  it('whose program is not there are refused, and their machines end', async () => {
    await expect(container({ name: 'wrong', image: 'wrong' })).rejects.toThrow(/COMMAND_NOT_FOUND/)
    expect((await home.json<Instance>(['instance', 'show', 'wrong'])).state).toBe('failed')
    const nobody = ['instance', 'create', 'thaw/docker', '--container', 'once', '--user', 'nobody-there']
    expect((await home.run(nobody)).stderr).toMatch(/INVALID_REQUEST: .*nobody-there/)
    // What a container fails at is not the snapshot's fault: it is not held against it, nor is a machine booted for it.
    const { state, failure_count } = (await api.call('GET', `/v1/snapshots/${snapshot.id}`)).json as Snapshot
    expect({ state, failure_count }).toEqual({ state: 'ready', failure_count: 0 })
    const failed = await home.json<Instance[]>(['instance', 'ls'])
    expect(failed.filter((one) => one.state === 'failed').map((one) => one.boot_method)).toEqual([
      'warm',
      'warm',
    ])
  })

  it('stop at a signal, and leave nothing', async () => {
    expect((await home.run(['instance', 'stop', 'cache', '--time', '60'])).code).toBe(0)
    expect(await home.json<Instance>(['instance', 'show', 'cache'])).toMatchObject({
      state: 'stopped',
      reason: 'it was stopped',
      // Redis ends by itself when it is told to.
      exit: { code: 0, signal: null },
    })
    expect((await api.call('DELETE', '/v1/containers/cache')).status).toBe(200)
    expect(processesWith(home.directory).length).toBeLessThanOrEqual(1)
  })
})
