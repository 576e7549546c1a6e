import { readFileSync, statSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, until } from '../support/home.js'

describe('with tokens', () => {
  let home: Home
  let api: Api
  beforeAll(async () => {
    home = new Home()
    api = await Api.start(home)
  })
  afterAll(() => home[Symbol.asyncDispose]())

  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

  it('answers 401 without a token, with a wrong one, with one that has ended or was removed', async () => {
    const { token, id } = await api.newToken('admin')
    expect((await api.get('/v1/runs', as(token))).status).toBe(200)
    const wrong = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`
    for (const bad of [wrong, 'x', `${token}x`, 'thaw_000000000000_'.padEnd(61, 'a')]) {
      expect(await api.get('/v1/runs', as(bad))).toMatchObject({
        status: 401,
        json: { code: 'UNAUTHORIZED' },
      })
    }
    const none = await api.get('/v1/runs', { headers: { authorization: '' } })
    expect(none).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer realm="thaw"' } })
    await home.run(['daemon', 'token', 'rm', id])
    expect((await api.get('/v1/runs', as(token))).status).toBe(401)
    const short = await api.newToken('read', ['--expires', '4s'])
    expect((await api.get('/v1/runs', as(short.token))).status).toBe(200)
    await until('it has ended', async () => (await api.get('/v1/runs', as(short.token))).status === 401, 20)
  })

  it('answers 403 beyond a scope', async () => {
    const read = as((await api.newToken('read')).token)
    const run = as((await api.newToken('run')).token)
    const admin = as((await api.newToken('admin')).token)
    const body = { command: ['true'], cwd: home.project }
    expect((await api.get('/v1/runs', read)).status).toBe(200)
    expect((await api.get('/metrics', read)).status).toBe(200)
    expect(await api.call('POST', '/v1/runs', { ...read, body })).toMatchObject({
      status: 403,
      json: { code: 'FORBIDDEN', details: { scope: 'read', needed: 'run' } },
    })
    expect((await api.call('POST', '/v1/runs', { ...run, body })).status).toBe(202)
    for (const [method, path, more] of [
      ['GET', '/v1/tokens', {}],
      ['POST', '/v1/tokens', { name: 'x', scope: 'admin' }],
      ['POST', '/v1/daemon/stop', { force: true }],
      ['PUT', '/v1/daemon/tcp', { host: '127.0.0.1', port: 1 }],
    ] as const) {
      const call = method === 'GET' ? run : { ...run, body: more }
      expect([path, (await api.call(method, path, call)).status]).toEqual([path, 403])
    }
    expect((await api.get('/v1/tokens', admin)).status).toBe(200)
  })

  it('streams ask for a token as well', async () => {
    const upgrade = (authorization: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(api.port, '127.0.0.1')
        let text = ''
        socket.on('data', (chunk) => (text += chunk.toString('latin1')))
        socket.on('error', reject)
        socket.setTimeout(2000, () => socket.destroy())
        socket.on('close', () => resolve(text))
        socket.write(
          `POST /v1/runs/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: thaw-stream\r\n${authorization}\r\n`,
        )
      })
    expect(await upgrade('')).toMatch(/^HTTP\/1\.1 401 /)
    const { token } = await api.newToken('read')
    expect(await upgrade(`Authorization: Bearer ${token}\r\n`)).toMatch(/^HTTP\/1\.1 403 /)
    expect(await upgrade(`Authorization: Bearer ${api.token}\r\n`)).toMatch(/^HTTP\/1\.1 101 /)
  })

  it('tells anybody no more than that it is there, and what it can do', async () => {
    const nobody = { headers: { authorization: '' } }
    for (const path of ['/healthz', '/version', '/openapi.json', '/docs']) {
      expect([path, (await api.get(path, nobody)).status]).toEqual([path, 200])
    }
    for (const path of ['/metrics', '/v1/daemon', '/v1/doctor', '/nowhere']) {
      expect([path, (await api.get(path, nobody)).status]).toEqual([path, 401])
    }
  })

  it('keeps digests only, readable by their owner', async () => {
    const { token } = await api.newToken('run')
    const file = join(home.env['THAW_HOME'] as string, 'state', 'tokens.json')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readFileSync(file, 'utf8')).not.toContain(token.slice(18))
    const listed = await home.json<Record<string, unknown>[]>(['daemon', 'token', 'ls'])
    expect(JSON.stringify(listed)).not.toMatch(/digest|thaw_/)
  })

  it('lets pages of other origins in with a token, as preflights ask', async () => {
    const headers = { authorization: '', origin: 'https://elsewhere.example' }
    const preflight = await api.call('OPTIONS', '/v1/runs', { headers })
    expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': '*' } })
    expect((await api.get('/v1/runs', { headers })).status).toBe(401)
  })

  it('says 404 for what is not there, 400 for what does not fit, 413 for what is too large', async () => {
    expect(await api.get('/v1/nowhere')).toMatchObject({
      status: 404,
      headers: { 'content-type': 'application/problem+json; charset=utf-8' },
      json: { code: 'NOT_FOUND', status: 404, type: '/docs#NOT_FOUND', hint: expect.any(String) },
    })
    expect(await api.post('/v1/runs', { cwd: '/' })).toMatchObject({
      status: 400,
      json: { code: 'INVALID_REQUEST' },
    })
    expect(await api.post('/v1/runs', '{"command":')).toMatchObject({ status: 400 })
    // Also one who has sent all of it before he looks.
    const large = { command: ['true', 'x'.repeat(9_000_000)], cwd: home.project }
    expect(await api.post('/v1/runs', large)).toMatchObject({
      status: 413,
      json: { code: 'PAYLOAD_TOO_LARGE' },
    })
  })

  it('names the nearest ids for one that does not exist', async () => {
    const done = await api.post('/v1/runs', { command: ['true'], cwd: home.project }, { prefer: 'wait=20' })
    const id: string = done.json.run
    const near = await api.get(`/v1/runs/${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`)
    expect(near).toMatchObject({ status: 404, json: { details: { nearest: [id] } } })
  })

  it('goes on listening, and is found again when asked to start', async () => {
    const address = `127.0.0.1:${api.port}`
    const again = await home.run(['daemon', 'start', '--tcp', address])
    expect(again.stdout).toContain(`Runs already`)
    expect(again.stdout).toContain(`http://${address} with tokens`)
    const other = await home.run(['daemon', 'start', '--tcp', '127.0.0.1:0', '--no-token'])
    expect(other).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^thaw: LISTEN_FAILED: .*already/),
    })
    expect((await home.run(['daemon', 'status'])).stdout).toContain('not while it listens on TCP')
  })
})

describe('without a token', () => {
  let home: Home
  let api: Api
  beforeAll(async () => {
    home = new Home()
    api = await Api.start(home, { tokens: false })
  })
  afterAll(() => home[Symbol.asyncDispose]())

  it('serves callers on this machine', async () => {
    expect((await api.get('/v1/tokens')).status).toBe(200)
    expect((await api.get('/v1/runs', { headers: { host: `localhost:${api.port}` } })).status).toBe(200)
    const same = { host: `127.0.0.1:${api.port}`, origin: `http://127.0.0.1:${api.port}` }
    expect((await api.get('/v1/runs', { headers: same })).status).toBe(200)
  })

  it('refuses pages of other origins, and names that were made to point here', async () => {
    for (const headers of [
      { origin: 'https://elsewhere.example' },
      { origin: 'null' },
      { origin: 'http://127.0.0.1:1' },
      { host: 'evil.example' },
      { host: `evil.example:${api.port}` },
      { host: '127.0.0.1.evil.example' },
    ]) {
      const answer = await api.get('/v1/runs', { headers: headers as Record<string, string> })
      expect([headers, answer.status, answer.json.code]).toEqual([headers, 403, 'FORBIDDEN'])
      expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    }
  })
})

describe('starting', () => {
  let home: Home
  beforeAll(() => {
    home = new Home()
  })
  afterAll(() => home[Symbol.asyncDispose]())

  it.each([
    [['--no-token'], 'USAGE'],
    [['--tcp', 'nowhere'], 'USAGE'],
    [['--tcp', '127.0.0.1:99999'], 'USAGE'],
    [['--tcp', '0.0.0.0:0', '--no-token'], 'TOKEN_REQUIRED'],
    [['--tcp', '[::]:0', '--no-token'], 'TOKEN_REQUIRED'],
    [['--tcp', 'example.org:80'], 'LISTEN_FAILED'],
  ])('%s: %s', async (options, code) => {
    expect(await home.run(['daemon', 'start', ...options])).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(new RegExp(`^thaw: ${code}: `)),
    })
  })

  it('says so when the port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const done = await home.run(['daemon', 'start', '--tcp', `127.0.0.1:${port}`])
    expect(done).toMatchObject({ code: 125, stderr: expect.stringContaining(`port ${port} is in use`) })
    server.close()
  })
})
