/** Services over HTTP, from the command line, from Python and TypeScript; and the examples. */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join, relative } from 'node:path'
import { Client, fetchTransport } from '@thaw/sdk'
import { NodeClient } from '@thaw/sdk/node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api } from '../support/api.js'
import { Home, root, until } from '../support/home.js'

const MAIN = `
import sys, time
COUNT = []
def score(x, y=1):
    print("scoring", x)
    return x * y
def count():
    COUNT.append(1)
    return len(COUNT)
def fails():
    raise LookupError("nothing", 7)
def size(data): return len(data)
def data(): return bytes([0, 255, 10])
def nap(seconds):
    time.sleep(seconds)
    return "awake"
class Own(Exception): pass
`

const isThere = (pid: number) => existsSync(`/proc/${pid}`)

describe('services', () => {
  let home: Home
  let api: Api
  let python: string
  beforeAll(async () => {
    home = new Home()
    api = await Api.start(home)
    home.write('main.py', MAIN)
    // The client installs from the clone, into an environment of its own, without a network.
    const made = home.shell(
      `python3 -m venv "$HOME/venv" && "$HOME/venv/bin/pip" install -q --no-index --no-cache-dir "${join(root, 'agents', 'python')}" 2>&1`,
    )
    expect(made).toMatchObject({ code: 0 })
    python = join(home.directory, 'venv', 'bin', 'python')
    writeFileSync(
      join(home.directory, 'thaw'),
      `#!/bin/sh\nexec "${process.execPath}" "${home.thaw}" "$@"\n`,
      { mode: 0o755 },
    )
    home.env['THAW_COMMAND'] = join(home.directory, 'thaw')
  }, 120_000)
  afterAll(() => home[Symbol.asyncDispose]())

  it('are called from the command line', async () => {
    const made = await home.run(['service', 'deploy', 'main.py', '--name', 'cli', '--engine', 'plain'])
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toContain('score(x, y=1)')
    expect(await home.run(['call', 'cli', 'score', '3', 'y=2'])).toMatchObject({
      code: 0,
      stdout: 'scoring 3\n6\n',
    })
    const failed = await home.run(['call', 'cli', 'fails'])
    expect(failed).toMatchObject({ code: 1, stdout: '' })
    expect(failed.stderr).toMatch(/^Traceback[^]*LookupError: \('nothing', 7\)\nthaw: CALL_RAISED: /)
    expect(await home.run(['call', 'cli', 'score', 'x=1', 'z=2'])).toMatchObject({ code: 125 })
    expect(await home.run(['call', 'cli', 'nap', '60', '--timeout', '0.2'])).toMatchObject({ code: 125 })
    expect(await home.run(['call', 'none', 'nap'])).toMatchObject({ code: 125 })
    expect((await home.json<{ result: number }>(['call', 'cli', 'count'])).result).toBe(1)
    const [one] = (await home.json<{ services: unknown[] } & { name: string }[]>(['service', 'ls'])) ?? []
    expect(one).toMatchObject({ name: 'cli', state: 'ready' })
    expect((await home.run(['service', 'reset', 'cli'])).stdout).toBe('cli is ready\n')
    expect((await home.run(['call', 'cli', 'count'])).stdout).toBe('1\n')
    expect((await home.run(['service', 'show', 'cli'])).stdout).toContain('callables')
    expect((await home.run(['service', 'logs', 'cli'])).stdout).toContain('scoring 3')
    expect((await home.run(['service', 'stop', 'cli'])).stdout).toBe('cli is stopped\n')
    expect((await home.run(['service', 'rm', 'cli'])).code).toBe(0)
    expect((await home.run(['service', 'show', 'cli'])).code).toBe(125)
  })

  it('are called over HTTP, in TypeScript too', async () => {
    const source = { file: join(home.project, 'main.py') }
    const made = await api.post('/v1/services', {
      name: 'web',
      source,
      compute: { engine: 'plain', env: home.env },
    })
    expect(made).toMatchObject({ status: 200, json: { name: 'web', state: 'ready' } })
    expect(made.text).not.toContain(home.env['PATH'])
    const { version } = made.json
    const answer = await api.post('/v1/services/web/call/score', { x: 3, y: 2 })
    expect(answer.json).toMatchObject({ result: 6, version, stale: null })
    const named = await api.post('/v1/services/web/call/score', [1], { 'x-request-id': 'mine-7' })
    expect(named.headers['x-request-id']).toBe('mine-7')
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    const unknown = await api.post('/v1/services/web/call/nothing', {})
    expect(unknown).toMatchObject({ status: 404, json: { code: 'FUNCTION_NOT_FOUND' } })
    expect(unknown.json.message).toContain('score')
    expect(await api.post('/v1/services/web/call/fails', [])).toMatchObject({
      status: 500,
      json: { code: 'CALL_RAISED', details: { type: 'LookupError', args: ['nothing', 7] } },
    })
    expect(await api.post(`/v1/services/web/call/score?version=other`, [1])).toMatchObject({ status: 409 })
    const pickle = { 'content-type': 'application/x-python-pickle' }
    expect(await api.post('/v1/services/web/call/score', 'x', pickle)).toMatchObject({ status: 403 })
    expect(
      await api.post('/v1/services/web/call/score', 'x', { 'content-type': 'text/plain' }),
    ).toMatchObject({ status: 400 })
    const client = new Client(fetchTransport(api.url, api.token ?? undefined))
    const said: string[] = []
    const onOutput = (stream: string, text: string) => void said.push(stream, text)
    expect(await client.services.call('web', 'score', [4], { onOutput })).toBe(4)
    expect(said).toEqual(['stdout', 'scoring 4\n'])
    expect(await client.services.call('web', 'data')).toEqual(Uint8Array.of(0, 255, 10))
    const handle = await client.service({
      name: 'web',
      module: join(home.project, 'main.py'),
      inactivityTtl: '10m',
      compute: { engine: 'plain' },
    })
    expect(await handle.call('score', 3, 5)).toBe(15)
    await expect(client.services.call('web', 'fails')).rejects.toMatchObject({ code: 'CALL_RAISED' })
    await expect(
      client.services.deploy({ name: 'node', source: { file: join(home.project, 'score.ts') } }),
    ).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    home.write('score.mjs', 'export const score = (x) => x * 2')
    const local = new NodeClient(join(home.env['THAW_HOME'] as string, 'run', 'daemon.sock'))
    const module = relative(process.cwd(), join(home.project, 'score.mjs'))
    const node = await local.service({ name: 'node', module })
    expect(await node.call('score', 3)).toBe(6)
    await client.services.remove('node')
  })

  it('take a call back whose caller has gone', async () => {
    const asked = httpRequest({
      host: '127.0.0.1',
      port: api.port,
      method: 'POST',
      path: '/v1/services/web/call/nap',
      headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/json' },
    })
    asked.on('error', () => {})
    asked.end('[60]')
    const running = async () => (await api.get('/v1/services/web')).json.running as number
    await until('it runs', async () => (await running()) === 1)
    asked.destroy()
    await until('it has ended', async () => (await running()) === 0)
  })

  const py = (text: string, ...args: string[]) => {
    const file = home.write('client.py', text)
    return home.shell(`"${python}" "${file}" ${args.join(' ')}`)
  }

  it('are called from Python: results, prints, errors as their own type', () => {
    const done = py(`
import asyncio, sys, thaw
sys.path.insert(0, "${home.project}")
import main
score = thaw.fn(main.score, name="py").to(thaw.Compute(engine="plain", inactivity_ttl="10m"))
print(score(3, y=2))
rest = thaw.module(main, name="py").to(thaw.Compute(engine="plain", pickle=True))
print(rest.count(), rest.count(), asyncio.run(rest.size.aio(b"abc")), rest.data())
try:
    rest.fails()
except LookupError as error:
    print(type(error).__name__, error.args, "in fails" in str(error.__cause__), error.thaw.details["version"] == rest.version)
try:
    rest.nothing()
except thaw.ThawError as error:
    print(error.code)
async def cancelled():
    task = asyncio.create_task(rest.nap.aio(60))
    await asyncio.sleep(0.5)
    task.cancel()
    try: await task
    except asyncio.CancelledError: pass
    for _ in range(100):
        if rest.show()["running"] == 0: return "idle"
        await asyncio.sleep(0.05)
print(asyncio.run(cancelled()))
print(rest.reset()["state"], rest.count())
rest.remove()
`)
    expect(done).toMatchObject({ stderr: '', code: 0 })
    expect(done.stdout.split('\n')).toEqual([
      'scoring 3',
      '6',
      "1 2 3 b'\\x00\\xff\\n'",
      "LookupError ('nothing', 7) True True",
      'FUNCTION_NOT_FOUND',
      'idle',
      'ready 1',
      '',
    ])
  })

  it('end with a daemon that is killed, and begin anew with the next call', async () => {
    await home.run(['service', 'deploy', 'main.py', '--name', 'killed'])
    expect((await home.run(['call', 'killed', 'count'])).stdout).toBe('1\n')
    const { workers } = await home.json<{ workers: { pid: number }[] }>(['service', 'show', 'killed'])
    const pids = workers.map(({ pid }) => pid)
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    expect(pids.every(isThere)).toBe(true)
    process.kill(pid, 'SIGKILL')
    await until('nothing of it is left', () => !pids.some(isThere))
    expect((await home.run(['call', 'killed', 'count'])).stdout).toBe('1\n')
    await home.run(['service', 'rm', 'killed'])
  })

  describe('examples/warmstart', () => {
    const example = (name: string, ...args: string[]) => {
      const done = home.shell(`cd warmstart && "${python}" ${name} ${args.join(' ')}`)
      expect(done.stderr).toBe('')
      return done.stdout
    }
    beforeAll(() => {
      cpSync(join(root, 'examples', 'warmstart'), join(home.project, 'warmstart'), { recursive: true })
    })

    it('timing', () => {
      const times = [...example('timing_demo.py').matchAll(/^(\w+) +([\d.]+) ms/gm)].map((one) =>
        Number(one[2]),
      )
      expect(times.length).toBeGreaterThanOrEqual(2)
      expect(times[1]).toBeLessThan((times[0] as number) / 5)
    })

    it('hot reload', () => {
      expect(example('hot_reload.py')).toContain('hello world, call 1 of this process')
      const file = join(home.project, 'warmstart', 'hot_reload.py')
      writeFileSync(file, readFileSync(file, 'utf8').replace('"hello"', '"goodbye"'))
      expect(example('hot_reload.py')).toContain('goodbye world, call 2 of this process')
    })

    it('state', () => {
      expect(example('state_persistence.py', 'set', 'name', 'Alice')).toBe('name = Alice\n')
      expect(example('state_persistence.py', 'set', 'color', 'blue')).toBe('color = blue\n')
      expect(example('state_persistence.py', 'list')).toBe("{'name': 'Alice', 'color': 'blue'}\n")
      expect(example('state_persistence.py', 'get', 'name')).toBe('Alice\n')
      example('state_persistence.py', 'reset')
      expect(example('state_persistence.py', 'get', 'name')).toBe('None\n')
    })

    it('breakpoint', () => {
      const script = `printf 'p result\nresult += 58\nc\n' | "${python}" breakpoint_debug.py --attach`
      const done = home.shell(`cd warmstart && ${script}`)
      expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining('(Pdb) 42\n') as string })
      expect(done.stdout).toContain('area 100\n')
      expect(done.stderr).toContain('Attach with: thaw debug debugged')
    })

    it('shell', () => {
      expect(example('ssh_into_service.py', `sh -c 'pwd; echo "$GREETING"'`)).toBe(
        `hello world\n${join(home.project, 'warmstart')}\nhello\n`,
      )
    })

    it('concurrency', () => {
      const seconds = [...example('concurrent_calls.py').matchAll(/([\d.]+) s$/gm)].map((one) =>
        Number(one[1]),
      )
      expect(seconds).toHaveLength(2)
      for (const one of seconds) expect(one).toBeLessThan(3)
    })
  })
})
