/** Apps: commands with a port, asked through the daemon, frozen, thawed, reset, edited. */
import { existsSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Api } from '../support/api.js'
import { Home, root, until } from '../support/home.js'
import { whyNot } from '../support/process.js'

const PYTHON = `
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
COUNT = 0
WORD = "first"
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        global COUNT
        if self.path == "/die":
            print("dying", flush=True)
            os._exit(3)
        COUNT += 1
        self.answer(200, {"count": COUNT, "word": WORD, "path": self.path, "headers": dict(self.headers), "pid": os.getpid()})
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(201)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Location", "/items/1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *given): pass
print("listening", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

/** Counts; streams; and speaks a protocol of its own after an upgrade. */
const NODE = `
const { createServer } = require('node:http')
let count = 0
const server = createServer((request, response) => {
  if (request.url === '/stream') {
    response.write('one\\n')
    setTimeout(() => response.end('two\\n'), 300)
    return
  }
  if (request.url === '/never') return
  response.end(JSON.stringify({ count: ++count, method: request.method, url: request.url }))
})
server.on('upgrade', (request, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n')
  socket.write(head)
  socket.pipe(socket)
})
server.listen(8000, '127.0.0.1')
`

async function freePort(): Promise<number> {
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address() as AddressInfo
  free.close()
  return port
}

const why = await whyNot()
if (why !== null) console.warn(`tests/services/apps.test.ts is skipped in part: ${why}`)

describe('an app', () => {
  let home: Home
  let api: Api
  beforeAll(async () => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
    api = await Api.start(home)
    home.write('server.py', PYTHON)
    home.write('server.cjs', NODE)
  }, 120_000)
  afterAll(() => home[Symbol.asyncDispose]())

  const ask = (name: string, path = '/') => api.get(`/v1/services/${name}/app${path}`)
  const show = async (name: string) => (await api.get(`/v1/services/${name}`)).json
  const deploy = (name: string, more: string[] = [], command = ['python3', 'server.py']) =>
    home.run(
      `service deploy --app --name ${name} --root ${home.project} --port 8000 --env PYTHONDONTWRITEBYTECODE=1`
        .split(' ')
        .concat(more, '--', command),
    )

  describe.skipIf(why !== null)('in a sandbox', () => {
    it('is asked through the daemon: paths, headers, bodies', async () => {
      expect(await deploy('web')).toMatchObject({ code: 0, stderr: '' })
      const first = await ask('web', '/a%20b/c?d=%2F')
      expect(first).toMatchObject({ status: 200, json: { count: 1, path: '/a%20b/c?d=%2F' } })
      const { headers } = first.json as { headers: Record<string, string> }
      const named = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]))
      expect(named).toMatchObject({
        'x-forwarded-prefix': '/v1/services/web/app',
        'x-forwarded-host': `127.0.0.1:${api.port}`,
        'x-request-id': first.headers['x-request-id'],
      })
      // The token is the daemon's.
      expect(named['authorization']).toBeUndefined()
      const body = 'x'.repeat(3_000_000)
      const posted = await api.call('POST', '/v1/services/web/app/items', {
        body,
        headers: { 'content-type': 'text/plain', 'idempotency-key': 'one' },
      })
      expect(posted.text).toBe(body)
      expect(posted).toMatchObject({
        status: 201,
        headers: { 'set-cookie': ['a=1', 'b=2'], location: '/v1/services/web/app/items/1' },
      })
      expect((await ask('web')).json.count).toBe(2)
      expect(await api.post('/v1/services/web/call/f', [])).toMatchObject({ json: { code: 'UNSUPPORTED' } })
      const anonymous = await api.call('GET', '/v1/services/web/app/', { headers: { authorization: '' } })
      expect(anonymous.status).toBe(401)
      expect((await home.run(['service', 'show', 'web'])).stdout).toMatch(/command +python3 server\.py/)
      expect((await home.run(['service', 'ls'])).stdout).toContain('web')
      expect((await home.run(['service', 'logs', 'web'])).stdout).toContain('listening')
    })

    it('is frozen with its state, thawed by the next request, and reset', async () => {
      const { pid } = (await ask('web')).json as { pid: number }
      expect(await home.run(['service', 'freeze', 'web'])).toMatchObject({ code: 0, stderr: '' })
      const frozen = await show('web')
      expect(frozen).toMatchObject({ state: 'frozen', engine: 'process', memory_bytes: 0 })
      expect(frozen.disk_bytes).toBeGreaterThan(1e6)
      const answers = await Promise.all([1, 2, 3].map(() => ask('web')))
      expect(answers.map(({ json }) => json.count as number).sort()).toEqual([4, 5, 6])
      expect(answers[0]?.json.pid).toBe(pid)
      expect((await show('web')).thaw_seconds).toBeGreaterThan(0)
      expect(await home.run(['service', 'reset', 'web'])).toMatchObject({ code: 0 })
      expect((await ask('web')).json).toMatchObject({ count: 1, pid })
      // It was not started for that.
      expect((await home.run(['service', 'logs', 'web'])).stdout.match(/listening/g)).toHaveLength(1)
      expect(await home.run(['service', 'restart', 'web'])).toMatchObject({ code: 0 })
      expect((await ask('web')).json.count).toBe(1)
    })

    it('rests by itself, and is there again with the next daemon', async () => {
      expect(await deploy('web', ['--ttl', '0.5s'])).toMatchObject({ code: 0 })
      await ask('web')
      await until('it rests', async () => (await show('web')).state === 'frozen', 30)
      const { count } = (await ask('web')).json as { count: number }
      await home.run(['daemon', 'stop', '--force'])
      api = await Api.start(home)
      expect((await show('web')).state).toBe('frozen')
      expect((await ask('web')).json.count).toBe(count + 1)
      expect(await deploy('web')).toMatchObject({ code: 0 })
    })

    it('is started anew after an edit; one that does not come up leaves the old', async () => {
      const { version } = await show('web')
      home.write('server.py', PYTHON.replace('"first"', '"second"'))
      expect((await ask('web')).json).toMatchObject({ count: 1, word: 'second' })
      const told = await show('web')
      expect(told).toMatchObject({ stale: null, reload: { how: 'loaded' } })
      expect(told.version).not.toBe(version)
      home.write('server.py', `${PYTHON}\ndef (\n`)
      expect((await ask('web')).json).toMatchObject({ count: 2, word: 'second' })
      expect((await show('web')).stale.message).toContain('SyntaxError')
      home.write('server.py', PYTHON.replace('"first"', '"third"'))
      expect((await ask('web')).json).toMatchObject({ count: 1, word: 'third' })
      expect((await show('web')).stale).toBe(null)
    })

    it('that ends fails its request, and is started by the next', async () => {
      expect(await ask('web', '/die')).toMatchObject({ status: 502, json: { code: 'APP_BROKEN' } })
      await until('it is known', async () => (await show('web')).state === 'stopped')
      expect((await show('web')).reason).toContain('dying')
      expect((await ask('web')).json.count).toBe(1)
    })

    it('of Node streams, upgrades, and is frozen', async () => {
      expect(await deploy('node', ['--timeout', '1s'], [process.execPath, 'server.cjs'])).toMatchObject({
        code: 0,
      })
      expect((await ask('node', '/stream')).text).toBe('one\ntwo\n')
      expect(await ask('node', '/never')).toMatchObject({ status: 504, json: { code: 'CALL_TIMEOUT' } })
      expect((await api.call('DELETE', '/v1/services/node/app/x', {})).json).toMatchObject({
        method: 'DELETE',
      })
      const socket = connect(api.port, '127.0.0.1')
      socket.write(
        `GET /v1/services/node/app/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.token}\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n`,
      )
      let text = ''
      socket.on('data', (bytes) => (text += bytes.toString()))
      await until('it is upgraded', () => text.includes('101 Switching'))
      socket.write('ping')
      await until('it echoes', () => text.endsWith('ping'))
      expect((await show('node')).running).toBe(1)
      socket.destroy()
      await until('it is over', async () => (await show('node')).running === 0)
      expect(await home.run(['service', 'freeze', 'node'])).toMatchObject({ code: 0, stderr: '' })
      expect((await ask('node')).json.count).toBe(2)
      expect(await home.run(['service', 'rm', 'node'])).toMatchObject({ code: 0 })
    })

    it('has a name of its own', async () => {
      expect(await deploy('web', [], ['python3', '-m', 'http.server'])).toMatchObject({ code: 125 })
      const other = await deploy('web', ['--replace'], ['python3', '-m', 'http.server', '8000'])
      expect(other).toMatchObject({ code: 0 })
      expect((await ask('web', '/server.cjs')).text).toBe(NODE)
      await home.run(['service', 'rm', 'web'])
    })
  })

  it('that does not come up ends with what it printed last', async () => {
    const slow = ['python3', '-c', 'import time; print("waiting", flush=True); time.sleep(60)']
    const late = await deploy('late', ['--launch-timeout', '3s'], slow)
    expect(late.stderr).toMatch(/LAUNCH_TIMEOUT.*waiting/)
    const ended = await deploy('ended', [], ['python3', '-c', 'print("last words")'])
    expect(ended.stderr).toMatch(/SERVICE_FAILED.*last words/)
    expect((await deploy('none', [], ['no-such-program'])).stderr).toContain('COMMAND_NOT_FOUND')
    const { json } = await api.post('/v1/services/apps', { name: 'x', app: { command: ['a'], port: 0 } })
    expect(json).toMatchObject({ code: 'INVALID_REQUEST' })
    expect((await deploy('none', ['--workers', '2'])).stderr).toContain('USAGE')
    for (const name of ['late', 'ended', 'none']) await home.run(['service', 'rm', name])
  })

  it('is made and asked in Python', async () => {
    const client = home.write(
      'ask.py',
      `
import json, sys, thaw
source = thaw.app(["python3", "server.py"], port=int(sys.argv[1]), name="py", cwd=sys.argv[2])
try: source.to(thaw.Compute(workers=2))
except ValueError as error: print(error)
web = source.to(thaw.Compute(engine="plain"))
print(web.show()["state"], json.loads(web.request("GET", "/x").body)["path"], web.request("POST", "/", b"abc").body)
print(web.reset()["state"], json.loads(web.request("GET", "/").body)["count"])
web.remove()
print(web.request("GET", "/").status)
`,
    )
    const path = join(root, 'agents', 'python')
    const port = await freePort()
    const done = home.shell(`PYTHONPATH="${path}" python3 "${client}" ${port} "${home.project}"`)
    expect(done).toMatchObject({ code: 0, stderr: '' })
    expect(done.stdout.split('\n')).toEqual([
      'workers is for functions, not for an app.',
      "ready /x b'abc'",
      'ready 1',
      '404',
      '',
    ])
  })

  it('as a plain process says that it cannot be frozen, and ends with a killed daemon', async () => {
    const port = await freePort()
    expect(await deploy('plain', ['--engine', 'plain', '--port', String(port)])).toMatchObject({ code: 0 })
    const { pid } = (await ask('plain')).json as { pid: number }
    const frozen = await home.run(['service', 'freeze', 'plain'])
    expect(frozen.stderr).toContain('UNSUPPORTED')
    expect((await ask('plain')).json).toMatchObject({ count: 2, pid })
    const daemon = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(daemon.pid, 'SIGKILL')
    await until('it has ended', () => !existsSync(`/proc/${pid}`))
    api = await Api.start(home)
    expect((await ask('plain')).json.count).toBe(1)
    await home.run(['service', 'rm', 'plain'])
  })
})
