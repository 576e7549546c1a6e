// `npm run service-bench`: calls of a warm service against a bare fastify handler and bare Python HTTP servers, and the life of a small
// service and of one with much loaded data. Prints the figures, and with a file name writes them there. Latencies are of one call
// after the other; calls per second are autocannon's, with 16 connections.
import autocannon from 'autocannon'
import { median } from './measure.mjs'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createRequire } from 'node:module'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const CALLS = Number(process.env['CALLS'] ?? 2000)
const SECONDS = Number(process.env['SECONDS'] ?? 3)
const MEGABYTES = Number(process.env['MEGABYTES'] ?? 500)
const home = mkdtempSync(join(tmpdir(), 'thaw-bench-services-'))
const env = { ...process.env, THAW_HOME: join(home, 'home') }
const children = []

const FUNCTION = 'def score(x, y=1):\n    return x * y\n'
const BARE = `
import http.server, json, sys
${FUNCTION}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps({"result": score(**given)}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
`
const ASYNCIO = `
import asyncio, json
${FUNCTION}
async def serve(reader, writer):
    writer.get_extra_info("socket").setsockopt(6, 1, 1)
    while True:
        try: head = await reader.readuntil(b"\\r\\n\\r\\n")
        except asyncio.IncompleteReadError: break
        length = next(int(line[15:]) for line in head.lower().split(b"\\r\\n") if line.startswith(b"content-length:"))
        body = json.dumps({"result": score(**json.loads(await reader.readexactly(length)))}).encode()
        writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body) + body)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
`
const fastify = createRequire(join(root, 'packages', 'thaw', 'package.json')).resolve('fastify')
const NODE = `
const app = require(${JSON.stringify(fastify)})()
app.post('/', (request) => ({ result: request.body.x * request.body.y }))
app.listen({ port: 0, host: '127.0.0.1' }).then(() => console.log(app.server.address().port))
`
// The same kind of data as lists of numbers would be: one object each.
const DATA = `
DATA = [("%d" % i) * 8 for i in range(${Math.round((MEGABYTES * 1e6) / 115)})]
MESSAGE = "one"
HITS = []
def get(i):
    HITS.append(i)
    return [MESSAGE, len(DATA), len(HITS)]
`

function thaw(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'packages/thaw/bin/thaw.js'), ...args], {
      env,
      cwd: home,
    })
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    child.stderr.on('data', (chunk) => (text += chunk))
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(text))))
  })
}

function serve(argv) {
  return new Promise((resolve) => {
    const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    child.stdout.once('data', (chunk) => resolve(Number(String(chunk))))
  })
}

function post(agent, where, path, body, method = 'POST') {
  return new Promise((resolve, reject) => {
    const text = method === 'GET' ? '' : JSON.stringify(body)
    const headers =
      method === 'GET'
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const asked = request({ agent, host: '127.0.0.1', ...where, method, path, headers }, (answer) => {
      let all = ''
      answer.on('data', (chunk) => (all += chunk))
      answer.on('end', () => (answer.statusCode === 200 ? resolve(JSON.parse(all)) : reject(new Error(all))))
    })
    asked.on('error', reject)
    asked.end(text)
  })
}

const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]

async function measure(where, path, method) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  for (let i = 0; i < 200; i++) await post(agent, where, path, { x: i, y: 2 }, method)
  const times = []
  for (let i = 0; i < CALLS; i++) {
    const begun = performance.now()
    const { result } = await post(agent, where, path, { x: i, y: 2 }, method)
    times.push(performance.now() - begun)
    if (method !== 'GET' && result !== i * 2) throw new Error(`${i} * 2 is not ${result}`)
  }
  times.sort((a, b) => a - b)
  const body = JSON.stringify({ x: 1, y: 2 })
  const { requests, non2xx, errors } = await autocannon({
    url: `http://127.0.0.1:${where.port ?? 80}${path}`,
    socketPath: where.socketPath,
    connections: 16,
    duration: SECONDS,
    ...(method === 'GET' ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body }),
  })
  if (non2xx + errors > 0) throw new Error(`${non2xx} refused, ${errors} failed`)
  agent.destroy()
  return {
    p50: at(times, 0.5),
    p95: at(times, 0.95),
    p99: at(times, 0.99),
    calls_per_second: requests.average,
  }
}

async function series(count, work) {
  const times = []
  for (let i = 0; i < count; i++) times.push((await timed(work))[0])
  return times
}

async function timed(work) {
  const begun = performance.now()
  const value = await work()
  return [performance.now() - begun, value]
}

try {
  writeFileSync(join(home, 'score.py'), FUNCTION)
  writeFileSync(join(home, 'bare.py'), BARE)
  writeFileSync(join(home, 'asyncio_server.py'), ASYNCIO)
  writeFileSync(join(home, 'data.py'), DATA)
  const socket = join(home, 'home', 'run', 'daemon.sock')
  await thaw('service', 'deploy', 'score.py', '--name', 'plain', '--engine', 'plain')
  const started = JSON.parse(await thaw('daemon', 'start', '--tcp', '127.0.0.1:0', '--no-token', '--json'))
  const python = await serve(['python3', join(home, 'bare.py')])
  const later = await serve(['python3', join(home, 'asyncio_server.py')])
  const node = await serve([process.execPath, '-e', NODE])
  const path = '/v1/services/plain/call/score'
  const calls = {}
  // Interleaved, so that each meets the same machine.
  for (let round = 0; round < 3; round++) {
    for (const [name, where, to, method] of [
      ['bare fastify', { port: node }, '/'],
      ['bare Python http.server', { port: python }, '/'],
      ['bare Python asyncio', { port: later }, '/'],
      ['bare round trip of the daemon, over TCP', { port: started.tcp.port }, '/healthz', 'GET'],
      ['warm call over TCP', { port: started.tcp.port }, path],
      ['warm call over the unix socket', { socketPath: socket }, path],
    ]) {
      const found = await measure(where, to, method)
      const best = calls[name]
      if (best === undefined || found.p50 < best.p50) calls[name] = found
    }
  }
  const small = {}
  const score = () =>
    post(agent, { socketPath: socket }, '/v1/services/small/call/score', { x: 1, y: 2 }).then(
      ({ result }) => {
        if (result !== 2) throw new Error(`${result} is not 2`)
      },
    )
  const life = {}
  const agent = new Agent({ keepAlive: true })
  const get = () => post(agent, { socketPath: socket }, '/v1/services/data/call/get', [1])
  const verb = (name) => post(agent, { socketPath: socket }, `/v1/services/data/${name}`, {})
  const memory = async () => JSON.parse(await thaw('service', 'show', 'data', '--json'))
  const deploy = { name: 'small', source: { file: join(home, 'score.py') } }
  const [cold, made] = await timed(() => post(agent, { socketPath: socket }, '/v1/services', deploy))
  small.engine = made.engine
  small.cold_ms = cold + (await timed(score))[0]
  small.warm_ms = median(await series(200, score))
  if (made.engine === 'process') {
    const freeze = () => post(agent, { socketPath: socket }, '/v1/services/small/freeze', {})
    const rounds = []
    for (let round = 0; round < 5; round++) {
      await freeze()
      rounds.push((await timed(score))[0])
    }
    small.thawed_ms = median(rounds)
  }
  ;[life.cold_ms] = await timed(() => thaw('service', 'deploy', 'data.py', '--name', 'data'))
  const first = await memory()
  life.engine = first.engine
  life.memory_mb = first.memory_bytes / 1e6
  ;[life.warm_ms] = await timed(get)
  writeFileSync(join(home, 'data.py'), DATA.replace('"one"', '"two"').replace('[MESSAGE,', '[MESSAGE + "!",'))
  const [edit, { result }] = await timed(get)
  if (result[0] !== 'two!' || result[2] !== 2) throw new Error(JSON.stringify(result))
  life.edit_ms = edit
  ;[life.reset_ms] = await timed(() => verb('reset'))
  const after = await get()
  if (after.result[2] !== 1) throw new Error(JSON.stringify(after))
  if (first.engine === 'process') {
    ;[life.freeze_ms] = await timed(() => verb('freeze'))
    const frozen = await memory()
    life.frozen_memory_mb = frozen.memory_bytes / 1e6
    life.frozen_disk_mb = frozen.disk_bytes / 1e6
    const [thawed, again] = await timed(get)
    if (again.result[2] !== 2) throw new Error(JSON.stringify(again))
    life.thaw_and_call_ms = thawed
    life.thawed_memory_mb = (await memory()).memory_bytes / 1e6
  }
  ;[life.restart_ms] = await timed(() => verb('restart'))
  agent.destroy()
  const ratio = {
    tcp_over_bare_round_trip:
      calls['warm call over TCP'].p50 / calls['bare round trip of the daemon, over TCP'].p50,
    tcp_over_python: calls['warm call over TCP'].p50 / calls['bare Python http.server'].p50,
    tcp_over_fastify: calls['warm call over TCP'].p50 / calls['bare fastify'].p50,
  }
  const machine = { load: loadavg().map((one) => Number(one.toFixed(1))), node: process.version }
  const figures = { machine, calls, ratio, small, megabytes: MEGABYTES, life }
  console.log(
    JSON.stringify(figures, (_, value) => (typeof value === 'number' ? Number(value.toFixed(3)) : value), 2),
  )
  if (process.argv[2] !== undefined) writeFileSync(process.argv[2], `${JSON.stringify(figures, null, 2)}\n`)
} finally {
  for (const child of children) child.kill('SIGKILL')
  await thaw('daemon', 'stop', '--force').catch(() => {})
  rmSync(home, { recursive: true, force: true })
}
