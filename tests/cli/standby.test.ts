import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, until, type Options } from '../support/home.js'

/** As a user starts it: by its name, past no interpreter. */
class Caller extends Home {
  get waiting(): string[] {
    const directory = join(this.env['THAW_HOME'] as string, 'state', 'standby')
    if (!existsSync(directory)) return []
    return readdirSync(directory).filter((name) => /^\d+\.\d+\.\d+\.\d+\.\d+$/.test(name))
  }

  async standby(): Promise<number> {
    await until('one stands by', () => this.waiting.length > 0, 20)
    return Number(this.waiting[0]?.split('.').at(-1))
  }

  call(args: readonly string[], { cwd = this.project, env = {}, input = '' }: Options = {}) {
    const done = spawnSync(this.thaw, args, {
      cwd,
      env: { ...this.env, ...env },
      encoding: 'utf8',
      input: input ?? '',
    })
    const { status: code, stdout, stderr, signal } = done
    return { code, stdout, stderr, signal }
  }

  /** A shell that finds the command as installed ones are: by a link on its PATH. */
  inShell(script: string) {
    const done = spawnSync('sh', ['-c', script], {
      cwd: this.project,
      env: { ...this.env, PATH: `${this.project}:${this.env['PATH']}` },
      encoding: 'utf8',
    })
    return { code: done.status, stdout: done.stdout, stderr: done.stderr }
  }
}

let home: Caller
beforeAll(async () => {
  home = new Caller()
  symlinkSync(home.thaw, join(home.project, 'thaw'))
  expect(home.call(['run', '-q', 'echo', 'first']).stdout).toBe('first\n')
  await home.standby()
})
afterAll(() => home[Symbol.asyncDispose]())

describe('a command that one stands by for', () => {
  it('is carried out by it, and another stands by for the next', async () => {
    const pid = await home.standby()
    expect(home.call(['run', '-q', 'sh', '-c', 'cat; echo err >&2; exit 7'], { input: 'in' })).toEqual({
      code: 7,
      signal: null,
      stdout: 'in',
      stderr: 'err\n',
    })
    expect(home.waiting).not.toContain(String(pid))
    expect(await home.standby()).not.toBe(pid)
  })

  it('has its caller’s directory, environment, umask, limits and nice value', async () => {
    const script = 'pwd; echo "$ONE-${TWO-unset}"; umask; ulimit -n; ulimit -c; nice'
    const start = `cd /tmp; export ONE="a
b"; umask 027; ulimit -n 99; ulimit -c 0; nice -n 3 `
    await home.standby()
    const done = home.inShell(`${start} thaw run -q sh -c '${script}'`)
    expect(done).toEqual({ code: 0, stderr: '', stdout: home.inShell(`${start} sh -c '${script}'`).stdout })
    expect(done.stdout).toBe('/tmp\na\nb-unset\n0027\n99\n0\n3\n')
  })

  it('shares its files’ positions, and says what is wrong as any other', async () => {
    await home.standby()
    home.inShell('(echo before; thaw run -q echo within; echo after) > out.txt')
    expect(readFileSync(join(home.project, 'out.txt'), 'utf8')).toBe('before\nwithin\nafter\n')
    await home.standby()
    const done = home.call(['run', 'no-such-command-here'])
    expect(done).toMatchObject({ code: 127, stderr: expect.stringMatching(/^thaw: COMMAND_NOT_FOUND: /) })
  })

  it('is sent what its caller is sent', async () => {
    const script = 'trap "echo trapped; exit 5" INT; echo ready; while :; do sleep 0.05; done'
    await home.standby()
    const child = spawn(home.thaw, ['run', '-q', 'bash', '-c', script], { cwd: home.project, env: home.env })
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    await until('the program runs', () => text.includes('ready'))
    child.kill('SIGINT')
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(5)
    expect(text).toBe('ready\ntrapped\n')
  })

  it('ends with a caller that is killed', async () => {
    const pid = await home.standby()
    const child = spawn(home.thaw, ['run', '-q', 'sh', '-c', 'echo ready; sleep 100'], {
      cwd: home.project,
      env: home.env,
    })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    child.kill('SIGKILL')
    await until('it has ended', () => !existsSync(`/proc/${pid}`))
  })

  it('has a terminal where its caller has one', async () => {
    await home.standby()
    // Its caller is in a session of its own with that terminal, and the standby is not.
    const script = `thaw run -q sh -c 'test -t 0 && test -t 1; echo tty $?; read line; echo "got $line"'`
    const done = spawnSync('script', ['-qec', script, '/dev/null'], {
      cwd: home.project,
      env: { ...home.env, PATH: `${home.project}:${home.env['PATH']}` },
      encoding: 'utf8',
      input: 'typed\n',
    })
    expect(done.error ?? done.stdout.replaceAll('\r', '')).toContain('got typed\n')
  })
})

describe('nothing stands by', () => {
  it('for a command whose Node is to be another, nor where it is not wanted', async () => {
    const pid = await home.standby()
    const done = home.call(['run', '-q', 'echo', 'here'], { env: { NODE_OPTIONS: '--no-deprecation' } })
    expect(done).toMatchObject({ code: 0, stdout: 'here\n' })
    expect(home.call(['run', '-q', 'echo', 'off'], { env: { THAW_STANDBY: 'off' } }).stdout).toBe('off\n')
    expect(home.waiting.some((name) => name.endsWith(`.${pid}`))).toBe(true)
  })

  it('when it was killed, and the command is carried out all the same', async () => {
    const pid = await home.standby()
    process.kill(pid, 'SIGKILL')
    await until('it is gone', () => !existsSync(`/proc/${pid}`))
    expect(home.call(['run', '-q', 'echo', 'still']).stdout).toBe('still\n')
    const next = await home.standby()
    expect(next).not.toBe(pid)
    const directory = join(home.env['THAW_HOME'] as string, 'state', 'standby')
    expect(readdirSync(directory)).toHaveLength(1)
  })

  it('for two at once: one of them starts Node', async () => {
    await home.standby()
    const both = home.inShell('thaw run -q echo one & thaw run -q echo two & wait')
    expect(both.stdout.split('\n').toSorted()).toEqual(['', 'one', 'two'])
  })

  it('when others could write where it would', async () => {
    await home.standby()
    const directory = join(home.env['THAW_HOME'] as string, 'state', 'standby')
    const before = home.waiting
    spawnSync('chmod', ['777', directory])
    expect(home.call(['run', '-q', 'echo', 'wary']).stdout).toBe('wary\n')
    expect(home.waiting).toEqual(before)
    spawnSync('chmod', ['700', directory])
  })

  it('when the daemon has ended', async () => {
    const pid = await home.standby()
    await home.run(['daemon', 'stop', '--force'])
    await until('it has ended, too', () => !existsSync(`/proc/${pid}`))
    expect(home.waiting).toEqual([])
    writeFileSync(join(home.project, 'again.txt'), '')
    expect(home.call(['run', '-q', 'ls', 'again.txt']).stdout).toBe('again.txt\n')
  })
})
