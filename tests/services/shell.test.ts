/** Debugging and shells from outside: the command line, SSH with the real client, what they leave. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'

const MAIN = `
import os
def score(x, y=1):
    z = x + y
    breakpoint()
    print("scored", z)
    return z
def pid():
    return os.getpid()
`

const isThere = (pid: number) => existsSync(`/proc/${pid}`)
const hasSsh = spawnSync('ssh', ['-V']).status === 0 && spawnSync('ssh-keygen', ['-?']).error === undefined
if (!hasSsh) console.warn('tests/services/shell.test.ts is skipped in part: there is no OpenSSH client')

describe('a service', () => {
  let home: Home
  beforeAll(async () => {
    home = new Home()
    home.write('main.py', MAIN)
    const made = await home.run(['service', 'deploy', 'main.py', '--name', 'scorer'])
    expect(made).toMatchObject({ code: 0, stderr: '' })
  }, 120_000)
  afterAll(() => home[Symbol.asyncDispose]())
  const stops = () => home.json<unknown[]>(['debug', 'scorer', '--list'])

  it('is debugged from a pipe, and its call goes on again with the code of then', async () => {
    expect(await home.run(['debug', 'scorer'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('NO_BREAKPOINT') as string,
    })
    const call = home.start(['call', 'scorer', 'score', '3'])
    await until('it stands', async () => (await stops()).length === 1, 20)
    expect((await home.run(['debug', 'scorer', '--list'])).stdout).toMatch(/1 +score +score +\S+main.py:5/)
    const debugged = await home.run(['debug', 'scorer'], { input: 'p x\nz = 40\nc\n' })
    expect(debugged).toMatchObject({ code: 0, stdout: expect.stringContaining('(Pdb) 3\n') as string })
    const ended = await call.ended
    expect(ended).toMatchObject({ code: 0, stdout: 'scored 40\n40\n' })
    expect(ended.stderr).toContain('Attach with: thaw debug scorer')
    expect((await home.run(['service', 'logs', 'scorer'])).stdout).toContain('Attach with: thaw debug scorer')
    home.write('main.py', MAIN.replace('return z', 'return z * 100'))
    expect(await home.run(['debug', 'scorer', '--again'])).toMatchObject({
      code: 0,
      stdout: 'scored 4\n400\n',
    })
    const quit = home.start(['call', 'scorer', 'score', '3'])
    await until('it stands', async () => (await stops()).length === 1, 20)
    await home.run(['debug', 'scorer'], { input: 'q\n' })
    expect(await quit.ended).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('CALL_QUIT') as string,
    })
  }, 60_000)

  it('has shells, and commands with their exit code, that keep it awake', async () => {
    const done = await home.run(['service', 'exec', 'scorer', 'sh', '-c', 'cat; pwd; echo $$ >&2; exit 7'], {
      input: 'typed\n',
    })
    expect(done).toMatchObject({ code: 7, stdout: `typed\n${home.project}\n` })
    expect((await home.run(['service', 'exec', 'scorer', '/none/such'])).code).toBe(127)
    await home.run([
      'service',
      'deploy',
      'main.py',
      '--name',
      'scorer',
      '--ttl',
      '2s',
      '--ttl-action',
      'stop',
    ])
    const open = home.start(['service', 'exec', 'scorer', 'sleep', '1000'], { input: null })
    await new Promise((resolve) => setTimeout(resolve, 4000))
    expect(await home.json(['service', 'show', 'scorer'])).toMatchObject({ state: 'ready' })
    open.child.kill('SIGKILL')
    const state = async () => (await home.json<{ state: string }>(['service', 'show', 'scorer'])).state
    await until('it rests', async () => (await state()) === 'stopped', 30)
  }, 60_000)

  it.skipIf(!hasSsh)(
    'is reached by ssh, with keys only',
    async () => {
      const keys = join(home.directory, 'ssh')
      mkdirSync(keys)
      const keygen = (name: string) =>
        spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(keys, name)])
      keygen('mine')
      keygen('other')
      const authorized = join(keys, 'authorized_keys')
      expect((await home.run(['ssh-server', '--keys', authorized])).code).toBe(125)
      const mine = home.shell(`cat ${join(keys, 'mine.pub')}`).stdout
      writeFileSync(authorized, `# comment\n${mine}`, { mode: 0o600 })
      const server = home.start(['ssh-server', '--port', '0', '--keys', authorized, '--json'])
      await until('it listens', () => server.text('stdout').includes('}'), 20)
      const { port } = JSON.parse(server.text('stdout')) as { port: number }
      const hosts = join(keys, 'known_hosts')
      const ssh = (more: string, key = 'mine', user = 'scorer') =>
        home.shell(
          `ssh -F none -p ${port} -i ${join(keys, key)} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=${hosts} -o LogLevel=ERROR ${user}@127.0.0.1 ${more}`,
        )
      try {
        const done = ssh(`'pwd; cat; echo to stderr >&2; exit 5' <<< typed`)
        expect(done).toMatchObject({ code: 5, stdout: `${home.project}\ntyped\n`, stderr: 'to stderr\n' })
        const shell = ssh(`-tt <<< 'tty; stty size; exit 3'`)
        expect(shell).toMatchObject({ code: 3, stdout: expect.stringMatching(/\/dev\/pts\/\d+/) as string })
        expect(ssh('true', 'other').code).toBe(255)
        expect(ssh('true', 'mine', 'nobody')).toMatchObject({
          code: 125,
          stderr: expect.stringContaining('SERVICE_NOT_FOUND') as string,
        })
        expect(ssh(`'head -c 3000000 /dev/zero' | wc -c`).stdout.trim()).toBe('3000000')
        // Who goes away ends what was started.
        const [pid] = ssh(`'echo $$; exec sleep 0'`).stdout.split('\n')
        expect(isThere(Number(pid))).toBe(false)
        // Its key stays.
        expect(statSync(join(home.env['THAW_HOME'] as string, 'state', 'ssh', 'host_key')).mode & 0o777).toBe(
          0o600,
        )
        // A file that others may write to lets nobody in.
        home.shell(`chmod g+w ${authorized}`)
        expect(ssh('true').code).toBe(255)
      } finally {
        server.child.kill('SIGTERM')
      }
      expect(await server.ended).toMatchObject({ code: 0 })
    },
    60_000,
  )
})
