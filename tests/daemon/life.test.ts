import { chmodSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'

interface Status {
  pid: number | null
  socket: string
  log: string
}

let home: Home
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.asyncDispose]())

const status = () => home.json<Status>(['daemon', 'status'])
const alive = (pid: number | null) => home.processes().includes(pid ?? 0)

describe('start', () => {
  it('happens by itself, in a private directory', async () => {
    expect((await status()).pid).toBeNull()
    await home.run(['run', '-q', 'true'])
    const { pid, socket } = await status()
    expect(alive(pid)).toBe(true)
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    expect(statSync(join(socket, '..')).mode & 0o777).toBe(0o700)
    expect(statSync(join(home.env['THAW_HOME'] as string, 'state')).mode & 0o777).toBe(0o700)
  })

  it('of several at once gives one daemon', async () => {
    const all = await Promise.all(
      Array.from({ length: 6 }, (_, n) => home.run(['run', '-q', 'sh', '-c', `echo ${n}`])),
    )
    expect(all.map((one) => [one.code, one.stdout, one.stderr])).toEqual(all.map((_, n) => [0, `${n}\n`, '']))
    const { pid } = await status()
    expect(home.processes().filter((one) => cmdline(one).includes('daemon.js'))).toEqual([pid])
  })

  it('says so when the directory for sockets is not writable', async () => {
    // Root may write everywhere, so that the directory must be impossible rather than forbidden.
    const blocked = process.getuid?.() === 0 ? '/proc/thaw' : join(home.directory, 'blocked')
    if (blocked !== '/proc/thaw') {
      mkdirSync(blocked)
      chmodSync(blocked, 0o500)
    }
    const done = await home.run(['run', 'true'], { env: { THAW_HOME: blocked } })
    expect(done.code).toBe(125)
    expect(done.stderr).toMatch(new RegExp(`^thaw: STATE_UNWRITABLE: ${blocked}.*THAW_HOME`))
  })

  it('says so when the socket path would be too long', async () => {
    const done = await home.run(['run', 'true'], { env: { THAW_HOME: `/tmp/${'x'.repeat(100)}` } })
    expect(done).toMatchObject({ code: 125, stderr: expect.stringMatching(/^thaw: SOCKET_PATH_TOO_LONG: /) })
  })

  it('says so when a setting of the daemon is wrong', async () => {
    const done = await home.run(['run', 'true'], { env: { THAW_IDLE: 'soon' } })
    expect(done).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^thaw: INVALID_SETTING: THAW_IDLE/),
    })
  })

  it('takes over the socket that a killed daemon left', async () => {
    await home.run(['daemon', 'start'])
    const first = (await status()).pid
    process.kill(first ?? 0, 'SIGKILL')
    await until('it is gone', () => !alive(first))
    expect(await home.run(['run', '-q', 'echo', 'again'])).toMatchObject({
      code: 0,
      stdout: 'again\n',
      stderr: '',
    })
    expect((await status()).pid).not.toBe(first)
  })
})

describe('end', () => {
  it('comes after the idle time, and leaves nothing', async () => {
    await home.run(['run', '-q', 'true'], { env: { THAW_IDLE: '0.5s', THAW_KEEP: '0' } })
    await until('all processes are gone', () => home.processes().length === 0, 15)
    expect((await home.run(['run', '-q', 'echo', 'back'])).stdout).toBe('back\n')
  })

  it('does not come while a command runs', async () => {
    const done = await home.run(['run', '-q', 'sh', '-c', 'sleep 1.5; echo done'], {
      env: { THAW_IDLE: '0.3' },
    })
    expect(done).toMatchObject({ code: 0, stdout: 'done\n' })
  })

  it('is refused while a command runs, unless forced', async () => {
    const one = home.start(['run', '-q', 'sh', '-c', 'echo on; sleep 60'])
    await until('the program runs', () => one.text('stdout').includes('on'))
    const refused = await home.run(['daemon', 'stop'])
    expect(refused).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^thaw: RUN_BUSY: 1 command is/),
    })
    expect((await home.run(['daemon', 'stop', '--force'])).code).toBe(0)
    expect((await one.ended).code).not.toBe(0)
    await until('all processes are gone', () => home.processes().length === 0)
  })
})

it('killed during a run leaves no process, and the next one says what was lost', async () => {
  home.write('slow.py', 'import time\nprint("on", flush=True)\ntime.sleep(60)\n')
  const one = home.start(['run', 'python3', 'slow.py'])
  await until('the program runs', () => one.text('stdout').includes('on'))
  process.kill((await status()).pid ?? 0, 'SIGKILL')
  expect(await one.ended).toMatchObject({ code: 125, stderr: expect.stringMatching(/^thaw: DAEMON_LOST: /) })
  await until('all processes are gone', () => home.processes().length === 0)
  const next = await home.run(['run', 'true'])
  expect(next.code).toBe(0)
  expect(next.stderr).toMatch(
    /^thaw: the daemon before this one was killed; lost: python3 slow\.py \(r_\w+\) while it ran/,
  )
  expect((await home.run(['run', 'true'])).stderr).not.toMatch(/lost/)
  expect(await home.json(['ls'])).toContainEqual(
    expect.objectContaining({ command: ['python3', 'slow.py'], state: 'lost' }),
  )
})

describe('the API', () => {
  const get = (socketPath: string, path: string) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      request({ socketPath, path }, (answer) => {
        let body = ''
        answer.on('data', (chunk: Buffer) => (body += chunk.toString()))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }))
      })
        .on('error', reject)
        .end()
    })

  it('serves what docs/openapi.json says, health and version', async () => {
    await home.run(['daemon', 'start'])
    const { socket } = await status()
    const served = JSON.parse((await get(socket, '/openapi.json')).body) as { openapi: string; paths: object }
    expect(served.openapi).toBe('3.1.0')
    expect(Object.keys(served.paths)).toContain('/v1/runs/{id}/tree')
    expect(await get(socket, '/healthz')).toMatchObject({ status: 200 })
    expect(JSON.parse((await get(socket, '/v1/runs/r_none')).body)).toMatchObject({ code: 'RUN_NOT_FOUND' })
    expect(await get(socket, '/v2/nothing')).toMatchObject({ status: 404 })
  })
})

function cmdline(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}
