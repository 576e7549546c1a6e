/** Images and instances by the command line and the API, as users meet them. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Image, Instance, InstanceCheckpoint, InstanceStats } from '@thaw/protocol'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { busyboxRoot } from '../support/instances.js'
import { whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/instances/cli.test.ts is skipped: ${why}`)

let home: Home
let root: string | null
beforeAll(() => {
  home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
  root = busyboxRoot(join(home.directory, 'root'))
  if (root === null) console.warn('skipped in part: busybox-static cannot be fetched')
})
afterAll(() => home[Symbol.asyncDispose]())

const ok = async (...args: string[]) => {
  const done = await home.run(args)
  expect(done.code, `${args.join(' ')}: ${done.stderr}`).toBe(0)
  return done.stdout
}

/** A call as other programs make it. */
function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const socketPath = join(home.directory, 'home', 'run', 'daemon.sock')
  return new Promise<{ status: number; headers: Record<string, unknown>; body: Record<string, unknown> }>(
    (resolve, reject) => {
      const sent = httpRequest(
        {
          socketPath,
          method,
          path,
          headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        },
        (answer) => {
          text(answer).then(
            (said) =>
              resolve({
                status: answer.statusCode ?? 0,
                headers: answer.headers,
                body: JSON.parse(said) as Record<string, unknown>,
              }),
            reject,
          )
        },
      )
      sent.on('error', reject)
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    },
  )
}

describe.skipIf(why !== null)('thaw image and thaw instance', () => {
  it('bring up a root file system, run in it, copy, fork, stop and remove it', async () => {
    if (root === null) return
    const image = JSON.parse(
      await ok(
        'image',
        'import',
        root,
        '--name',
        'web:1',
        '-p',
        '8080',
        '--json',
        'httpd',
        '--',
        '-f',
        '-p',
        '8080',
        '-h',
        '/srv',
      ),
    ) as Image
    expect(image).toMatchObject({
      name: 'web:1',
      command: ['httpd', '-f', '-p', '8080', '-h', '/srv'],
      ports: [8080],
    })
    expect(await ok('image', 'ls')).toContain('web:1')
    expect(await ok('image', 'show', 'web:1')).toContain('a root file system')
    writeFileSync(join(home.project, 'page'), 'from outside\n')
    const one = JSON.parse(
      await ok(
        'instance',
        'create',
        'web:1',
        '--name',
        'one',
        '-e',
        'A=b',
        '--file',
        `${join(home.project, 'page')}:/srv/page`,
        '--json',
      ),
    ) as Instance
    expect(one).toMatchObject({ state: 'ready', boot_method: 'cold' })
    const fetched = async (port: number | undefined, path: string) =>
      (await fetch(`http://127.0.0.1:${port}${path}`)).text()
    await until('it answers', () =>
      fetched(one.ports[0]?.host, '/page').then(
        (said) => said === 'from outside\n',
        () => false,
      ),
    )
    expect(await ok('instance', 'ls')).toMatch(/one +web:1 +ready +cold/)
    const said = await home.run(['instance', 'exec', 'one', 'sh', '-c', 'cat; echo $A >&2; exit 5'], {
      input: 'typed\n',
    })
    expect(said).toMatchObject({ code: 5, stdout: 'typed\n', stderr: 'b\n' })
    expect(await ok('__complete', '3', 'instance', 'exec', 'o')).toBe('words\none\tready, of web:1\n')
    expect(await home.run(['instance', 'exec', 'one', 'no-such-program'])).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('COMMAND_NOT_FOUND') as string,
    })
    await ok('instance', 'cp', join(home.project, 'page'), 'one:/srv/copied')
    expect(await fetched(one.ports[0]?.host, '/copied')).toBe('from outside\n')
    await ok('instance', 'cp', 'one:/etc/passwd', join(home.project, 'passwd'))
    expect(readFileSync(join(home.project, 'passwd'), 'utf8')).toContain('web:x:33')
    expect(JSON.parse(await ok('instance', 'stats', 'one', '--json')) as InstanceStats).toMatchObject({
      pids: 2,
    })
    const taken = JSON.parse(
      await ok('instance', 'checkpoint', 'one', '--name', 'good', '--json'),
    ) as InstanceCheckpoint
    const clones = JSON.parse(
      await ok(
        'instance',
        'fork',
        'one',
        '--checkpoint',
        'good',
        '--name',
        'two',
        '--name',
        'three',
        '--json',
      ),
    ) as Instance[]
    expect(clones.map(({ name, boot_method }) => [name, boot_method])).toEqual([
      ['two', 'warm'],
      ['three', 'warm'],
    ])
    expect(await fetched(clones[1]?.ports[0]?.host, '/copied')).toBe('from outside\n')
    expect(await ok('instance', 'show', 'one')).toContain(`${taken.id} (good)`)
    expect(await ok('instance', 'pause', 'two')).toBe('two is paused\n')
    expect(await ok('instance', 'resume', 'two')).toBe('two is ready\n')
    expect((await home.run(['image', 'rm', 'web:1'])).stderr).toContain('HAS_DEPENDENTS')
    expect(await ok('instance', 'stop', 'two', 'three')).toBe('two is stopped\nthree is stopped\n')
    expect((await home.run(['instance', 'rm', 'one', '--force'])).stderr).toContain('HAS_DEPENDENTS')
    expect(await ok('instance', 'rm', 'one', 'two', 'three', '--force', '--cascade')).toBe(
      'removed one\nremoved two\nremoved three\n',
    )
    expect(await ok('image', 'rm', 'web:1')).toBe('removed web:1\n')
    const state = join(home.directory, 'home', 'state')
    for (const left of ['images', 'instances/checkpoints', 'instances/logs']) {
      expect(readdirSync(join(state, left)), left).toEqual([])
    }
  })

  it('make a command in a directory an image, follow its logs, and know after a kill what was lost', async () => {
    writeFileSync(
      join(home.project, 'tick.sh'),
      'i=0; while :; do echo "tick $i"; i=$((i+1)); sleep 0.1; done\n',
    )
    const definition = {
      kind: 'directory',
      name: 'ticks',
      path: '.',
      command: ['sh', 'tick.sh'],
      readiness: { output: 'tick 1' },
    }
    const file = home.write('image.json', JSON.stringify(definition))
    await ok('image', 'create', file)
    await ok('instance', 'create', 'ticks', '--name', 'ticker')
    const following = home.start(['instance', 'logs', '-f', 'ticker'])
    await until('it is followed', () => following.text('stdout').includes('tick 8'))
    await ok('instance', 'checkpoint', 'ticker', '--name', 'kept')
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    expect((await home.run(['daemon', 'stop'])).stderr).toContain('RUN_BUSY')
    process.kill(pid, 'SIGKILL')
    await following.ended
    await until('its processes are gone', () => !home.processes().includes(pid))
    expect(await home.json<Instance[]>(['instance', 'ls'])).toMatchObject([
      { name: 'ticker', state: 'failed', reason: 'its daemon was killed' },
    ])
    expect(await ok('instance', 'logs', 'ticker')).toMatch(/^tick 0\ntick 1\n/)
    await ok('instance', 'fork', 'ticker', '--checkpoint', 'kept', '--name', 'again')
    await until('it goes on', async () => /^tick \d+\n/.test(await ok('instance', 'logs', 'again')))
    expect(await ok('instance', 'logs', 'again', '--tail', '4')).toHaveLength(4)
    await ok('instance', 'rm', 'again', 'ticker', '--force', '--cascade')
  })

  it('take a user and limits, of the command line and of a request', async () => {
    const definition = { kind: 'directory', name: 'plain', path: '.', command: ['sleep', '60'] }
    await ok('image', 'create', home.write('plain.json', JSON.stringify(definition)))
    const given = ['--user', 'root', '--cpus', '0.5', '--memory', '64MB', '--pids', '30']
    const one = JSON.parse(
      await ok('instance', 'create', 'plain', ...given, '--name', 'held', '--json'),
    ) as Instance
    expect(one.limits).toEqual({ cpu: 0.5, memory: 64_000_000, pids: 30 })
    expect(await ok('instance', 'show', 'held')).toMatch(
      /limits +0\.5 processors, 64 MB memory, 30 processes/,
    )
    for (const [option, value] of [
      ['--cpus', 'half'],
      ['--pids', '-3'],
      ['--memory', 'much'],
      ['--user', 'a b'],
    ] as const) {
      const refused = await home.run(['instance', 'create', 'plain', `${option}=${value}`])
      expect([option, refused.code]).toEqual([option, 125])
      expect(refused.stderr).toMatch(/^thaw: (USAGE|INVALID_REQUEST): /)
    }
    for (const limits of [{ cpu: 0 }, { memory: 5 }, { pids: 0 }, { pids: 1.5 }, { disk: 1 }]) {
      expect(await call('POST', '/v1/instances', { image: 'plain', limits })).toMatchObject({ status: 400 })
    }
    await ok('instance', 'rm', 'held', '--force')
    await ok('image', 'rm', 'plain')
  })

  it('answer over HTTP: 201 when ready, 202 when asked to, problems with their code', async () => {
    await call('POST', '/v1/images', {
      kind: 'directory',
      name: 'sleeper',
      path: home.project,
      command: ['sleep', '60'],
      readiness: { seconds: 0.5 },
    })
    const later = await call(
      'POST',
      '/v1/instances',
      { image: 'sleeper', name: 'late' },
      { prefer: 'respond-async' },
    )
    expect(later).toMatchObject({ status: 202, body: { name: 'late', state: 'creating' } })
    expect(later.headers['location']).toBe(`/v1/instances/${String(later.body['id'])}`)
    await until(
      'it is ready',
      async () => (await call('GET', '/v1/instances/late')).body['state'] === 'ready',
    )
    const made = await call('POST', '/v1/instances', { image: 'sleeper', name: 'soon' })
    expect(made).toMatchObject({ status: 201, body: { state: 'ready', boot_method: 'cold' } })
    expect(await call('POST', '/v1/instances/soon/exec', { command: ['cat'], input: 'in' })).toMatchObject({
      status: 200,
      body: { exit: { code: 0, signal: null }, stdout: 'in', truncated: false },
    })
    expect(await call('POST', '/v1/instances', { image: 'sleeper', name: 'soon' })).toMatchObject({
      status: 409,
      body: { code: 'NAME_TAKEN' },
    })
    expect(await call('POST', '/v1/instances', { image: 'none' })).toMatchObject({
      status: 404,
      body: { code: 'IMAGE_NOT_FOUND' },
    })
    expect(await call('GET', '/v1/instances/none')).toMatchObject({
      status: 404,
      body: { code: 'INSTANCE_NOT_FOUND' },
    })
    expect(
      await call('POST', '/v1/images', { kind: 'directory', name: '../x', path: '/', command: ['x'] }),
    ).toMatchObject({ status: 400 })
    expect(
      await call('POST', '/v1/instances', { image: 'sleeper', readiness: { output: '(' } }),
    ).toMatchObject({ status: 400 })
    for (const name of ['late', 'soon']) {
      expect(await call('DELETE', `/v1/instances/${name}?force=true`)).toMatchObject({
        status: 200,
        body: { state: 'deleted' },
      })
    }
    expect(existsSync(join(home.directory, 'home', 'state', 'instances', 'work'))).toBe(true)
    expect(readdirSync(join(home.directory, 'home', 'state', 'instances', 'work'))).toEqual([])
  })
})
