/** Apps under load, from within, and when they are asked what they cannot do. */
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Api } from '../support/api.js'
import { Home, until } from '../support/home.js'
import { whyNot } from '../support/process.js'

const SERVER = `
const { createServer } = require('node:http')
let count = 0
const held = []
const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://x')
  if (pathname === '/hold') return void held.push(response)
  if (pathname === '/release') {
    for (const one of held.splice(0)) one.end('released')
    return response.end(String(held.length))
  }
  if (pathname === '/slow') return void setTimeout(() => response.end(String(++count)), Number(searchParams.get('ms')))
  if (pathname === '/prints') {
    for (let i = 0; i < 2000; i++) console.log('x'.repeat(1000))
    return response.end('printed')
  }
  if (pathname === '/garbage') return request.socket.end('no HTTP at all\\r\\n\\r\\n')
  if (pathname === '/cut') {
    response.writeHead(200, { 'content-length': 1000 })
    response.write('part')
    return void setTimeout(() => response.destroy(), 50)
  }
  response.end(JSON.stringify({ count: ++count, pid: process.pid, headers: request.headers }))
})
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening'))
`

const why = await whyNot()
if (why !== null) console.warn(`tests/services/app-edges.test.ts is skipped: ${why}`)

describe.skipIf(why !== null)('an app', () => {
  let home: Home
  let api: Api
  beforeAll(async () => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
    api = await Api.start(home)
    home.write('server.cjs', SERVER)
    expect(await deploy('web')).toMatchObject({ code: 0, stderr: '' })
  }, 120_000)
  afterAll(() => home[Symbol.asyncDispose]())

  const at = (path: string, name = 'web') => `/v1/services/${name}/app${path}`
  const ask = (path = '/', headers: Record<string, string> = {}, name = 'web') =>
    api.call('GET', at(path, name), { headers })
  const show = async (name = 'web') => (await api.get(`/v1/services/${name}`)).json
  const deploy = (name: string, more: string[] = [], command = [process.execPath, 'server.cjs']) =>
    home.run(
      ['service', 'deploy', '--app', '--name', name, '--root', home.project, '--port', '8000'].concat(
        more,
        '--',
        command,
      ),
    )

  it('is sent so many requests at a time; so many wait; the next is refused', async () => {
    expect(await deploy('web', ['--concurrency', '2', '--queue', '2'])).toMatchObject({ code: 0 })
    const running = [ask('/slow?ms=1500'), ask('/slow?ms=1500')]
    await until('both run', async () => (await show()).running === 2)
    const waiting = [ask(), ask()]
    await until('two wait', async () => (await show()).waiting === 2)
    expect(await ask()).toMatchObject({ status: 429, json: { code: 'QUEUE_FULL' } })
    const all = await Promise.all([...running, ...waiting])
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    // Those that waited came after one that ran.
    expect(Math.min(...all.slice(2).map(({ json }) => json.count as number))).toBeGreaterThan(1)
    expect(await show()).toMatchObject({ running: 0, waiting: 0 })
  })

  it('has a deadline for each request, for its wait as well; one that is too late leaves its place', async () => {
    expect(await deploy('web', ['--concurrency', '1', '--timeout', '60s'])).toMatchObject({ code: 0 })
    const held = ask('/hold', { 'thaw-timeout': '1.5' })
    await until('it runs', async () => (await show()).running === 1)
    expect(await ask('/', { 'thaw-timeout': '0.2' })).toMatchObject({
      status: 504,
      json: { code: 'CALL_TIMEOUT', message: expect.stringContaining('no room') as string },
    })
    const patient = ask()
    expect(await held).toMatchObject({ status: 504, json: { code: 'CALL_TIMEOUT' } })
    expect((await patient).status).toBe(200)
    const told = (await patient).json as { headers: Record<string, string> }
    expect(told.headers['thaw-timeout']).toBeUndefined()
    expect(await ask('/', { 'thaw-timeout': 'soon' })).toMatchObject({
      status: 400,
      json: { code: 'INVALID_REQUEST' },
    })
    // Who goes away while waiting gives the place up.
    const again = ask('/hold', { 'thaw-timeout': '1' })
    await until('it runs', async () => (await show()).running === 1)
    const socket = connect(api.port, '127.0.0.1')
    socket.write(
      `GET ${at('/')} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.token}\r\nconnection: close\r\n\r\n`,
    )
    await until('it waits', async () => (await show()).waiting === 1)
    socket.destroy()
    await until('it has gone', async () => (await show()).waiting === 0)
    await again
    expect(await deploy('web')).toMatchObject({ code: 0 })
  })

  it('has shells and commands in its own network, also when it was frozen', async () => {
    expect(await home.run(['service', 'freeze', 'web'])).toMatchObject({ code: 0, stderr: '' })
    const done = await home.run(
      ['service', 'exec', 'web', 'sh', '-c', 'cat; pwd; echo $PORT; cat /proc/net/tcp >&2; exit 7'],
      { input: 'typed\n' },
    )
    expect(done).toMatchObject({ code: 7, stdout: `typed\n${home.project}\n8000\n` })
    // 8000, which nobody else on the machine sees there.
    expect(done.stderr).toContain(':1F40 ')
    expect((await home.run(['service', 'exec', 'web', '/none/such'])).code).toBe(127)
    expect((await home.run(['debug', 'web'])).stderr).toContain('UNSUPPORTED')
    const shell = home.start(['service', 'exec', 'web', 'sleep', '1000'], { input: null })
    const pids = async () => (await home.run(['service', 'exec', 'web', 'ps', '-e'])).stdout
    await until('it runs', async () => (await pids()).includes('sleep'))
    // It is part of no copy.
    expect(await home.run(['service', 'freeze', 'web'])).toMatchObject({ code: 0, stderr: '' })
    expect((await shell.ended).code).not.toBe(0)
    expect((await ask()).status).toBe(200)
    expect(await pids()).not.toContain('sleep')
  })

  it('answers what comes while it is frozen, reset or started anew', async () => {
    for (const verb of ['freeze', 'reset', 'restart']) {
      const changed = api.post(`/v1/services/web/${verb}`, {})
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask('/slow?ms=20')))
      expect([verb, ...answers.map(({ status }) => status)]).toEqual([verb, ...Array<number>(8).fill(200)])
      expect((await changed).status).toBe(200)
    }
  })

  it('that answers nonsense, cuts its answer off, or prints without end', async () => {
    expect(await ask('/garbage')).toMatchObject({ status: 502, json: { code: 'APP_BROKEN' } })
    await expect(ask('/cut')).rejects.toThrow()
    expect((await ask('/prints')).text).toBe('printed')
    const { stdout } = await home.run(['service', 'logs', 'web'])
    expect(stdout.length).toBeGreaterThan(2_000_000)
    expect((await ask()).status).toBe(200)
    expect((await show()).failed).toBeGreaterThan(0)
  })

  it('has a name of its own among functions, and is not made of what does not fit', async () => {
    const file = home.write('score.py', 'def score(x):\n    return x\n')
    const taken = await home.run(['service', 'deploy', file, '--name', 'web'])
    expect(taken.stderr).toMatch(/SERVICE_EXISTS.*server\.cjs.*score\.py/)
    expect(
      await home.run(['service', 'deploy', file, '--name', 'scorer', '--engine', 'plain']),
    ).toMatchObject({
      code: 0,
    })
    expect((await deploy('scorer')).stderr).toMatch(/SERVICE_EXISTS.*score\.py.*server\.cjs/)
    expect(await ask('/', {}, 'scorer')).toMatchObject({ json: { code: 'UNSUPPORTED' } })
    expect(await ask('/', {}, 'nobody')).toMatchObject({ status: 404, json: { code: 'SERVICE_NOT_FOUND' } })
    await home.run(['service', 'rm', 'scorer'])
    const app = { command: ['x'], port: 8000, cwd: '/' }
    for (const wrong of [
      { app: { ...app, port: 65536 } },
      { app: { ...app, command: [] } },
      { app: { ...app, cwd: 'relative' } },
      { app: { ...app, ready: 'no path' } },
      { app, compute: { concurrency: 0 } },
      { app, compute: { workers: 2 } },
    ]) {
      const { json } = await api.post('/v1/services/apps', { name: 'wrong', ...wrong })
      expect(json).toMatchObject({ code: 'INVALID_REQUEST' })
    }
    const gone = { name: 'wrong', app: { ...app, cwd: join(home.project, 'none') } }
    expect((await api.post('/v1/services/apps', gone)).json).toMatchObject({ code: 'DIRECTORY_GONE' })
    expect((await api.get('/v1/services/wrong')).status).toBe(404)
  })

  it('that is removed takes those who wait for it along, and leaves nothing', async () => {
    expect(await deploy('web', ['--concurrency', '1'])).toMatchObject({ code: 0 })
    const { pid: inner } = (await ask()).json as { pid: number }
    expect(inner).toBeGreaterThan(0)
    const held = ask('/hold')
    await until('it runs', async () => (await show()).running === 1)
    const waiting = ask()
    await until('one waits', async () => (await show()).waiting === 1)
    expect(await home.run(['service', 'rm', 'web'])).toMatchObject({ code: 0, stderr: '' })
    expect(await held).toMatchObject({ status: 502, json: { code: 'APP_BROKEN' } })
    expect(await waiting).toMatchObject({ status: 404, json: { code: 'SERVICE_NOT_FOUND' } })
    expect((await api.get('/v1/services/web')).status).toBe(404)
    expect(
      home.shell(`ls ${join(home.env['THAW_HOME'] as string, 'state', 'services', 'images')}`).stdout,
    ).toBe('')
    expect(existsSync(join(home.project, 'server.cjs'))).toBe(true)
  })
})
