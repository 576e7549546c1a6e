import { join } from 'node:path'
import { NodeClient } from '@thaw/sdk/node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'
import { Project, STEPS } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '1' })
})
afterAll(() => home[Symbol.asyncDispose]())

/** Prints `first`, then waits for the file `go`, then prints `second` and ends with 3. */
const WAITS = [
  'sh',
  '-c',
  'echo first; echo bad >&2; while [ ! -e go ]; do sleep 0.05; done; echo second; exit 3',
]

/** The same, with `tick` again and again while it waits: who reads that listens. */
const TICKS = WAITS.map((word) => word.replace('do sleep', 'do echo tick; sleep'))

async function startWaiting(name: string, command = WAITS) {
  const project = new Project(home, name)
  const one = project.start(command)
  await until(
    'it has begun',
    () => one.text('stdout').includes('first') && one.text('stderr').includes('bad'),
  )
  const runs = await home.json<{ id: string; cwd: string }[]>(['ls'])
  return { project, one, id: runs.find((run) => run.cwd === project.directory)?.id ?? '' }
}

describe('logs -f', () => {
  it('prints what there is, goes on, and ends with the program', async () => {
    const { project, one, id } = await startWaiting('logs')
    const following = home.start(['logs', '-f', id])
    const errors = home.start(['logs', '--follow', '--stderr', id])
    await until('what there is has come', () => following.text('stdout') === 'first\n')
    await until('only one stream has come', () => errors.text('stderr') === 'bad\n')
    expect((await home.run(['logs', id])).stdout).toBe('first\n')
    project.write('go', '')
    expect(await following.ended).toMatchObject({ code: 0, stdout: 'first\nsecond\n', stderr: 'bad\n' })
    expect(await errors.ended).toMatchObject({ code: 0, stdout: '', stderr: 'bad\n' })
    expect((await one.told).report.exit).toEqual({ code: 3, signal: null })
    expect(await home.run(['logs', '-f', id])).toMatchObject({ code: 0, stdout: 'first\nsecond\n' })
  })

  it('has what a resumed run had printed before, also after the daemon was stopped', async () => {
    const project = new Project(home, 'resumed')
    project.write('app.py', STEPS)
    await project.run(['python3', 'app.py'])
    project.edit('app.py', 'print("c")', 'print("C")')
    const { report } = await project.run(['python3', 'app.py'])
    expect(report.outcome).toBe('resumed')
    for (const flags of [[], ['-f'], ['--stdout']]) {
      expect((await home.run(['logs', ...flags, report.run])).stdout).toBe('a\nb\nC\n')
    }
    await home.run(['daemon', 'stop'])
    expect((await home.run(['logs', report.run])).stdout).toBe('a\nb\nC\n')
    expect((await home.run(['logs', '-f', report.run])).stdout).toBe('a\nb\nC\n')
  })

  it('ends quietly when its reader goes, and the program goes on', async () => {
    const { project, one, id } = await startWaiting('gone')
    const reader = home.shell(
      `(sleep 0.5; touch ${project.path('go')}) & thaw logs -f --stdout ${id} 2> err | head -1; cat err`,
    )
    expect(reader.stdout).toBe('first\n')
    expect((await one.told).report.exit).toEqual({ code: 3, signal: null })
  })
})

describe('attach', () => {
  it('shows what comes from now on, by run or branch, and ends with its exit code', async () => {
    const { project, one, id } = await startWaiting('attach', TICKS)
    const tree = await home.json<{ branches: { id: string }[] }>(['tree', id])
    const both = [id, tree.branches[0]?.id ?? ''].map((one) => home.start(['attach', one]))
    await until('both listen', () => both.every((client) => client.text('stdout').includes('tick')))
    project.write('go', '')
    for (const { ended } of both)
      expect(await ended).toMatchObject({
        code: 3,
        stdout: expect.stringMatching(/^(tick\n)+second\n$/),
        stderr: '',
      })
    await one.told
    const over = await home.run(['attach', id])
    expect(over).toMatchObject({ code: 125, stderr: expect.stringMatching(/RUN_NOT_FOUND.*not running/) })
  })

  it('is left by Ctrl-C, which does not disturb the program', async () => {
    const { project, one, id } = await startWaiting('left', TICKS)
    const attached = home.start(['attach', id])
    await until('it listens', () => attached.text('stdout').includes('tick'))
    attached.child.kill('SIGINT')
    expect((await attached.ended).signal).toBe('SIGINT')
    project.write('go', '')
    expect((await one.told).stdout).toMatch(/^first\n(tick\n)+second\n$/)
  })

  it('works through the SDK', async () => {
    const { project, one, id } = await startWaiting('sdk')
    const client = new NodeClient(join(home.env['THAW_HOME'] ?? '', 'run', 'daemon.sock'))
    let text = ''
    const following = client.follow(id, {
      from: 'start',
      onStdout: (chunk) => void (text += Buffer.from(chunk)),
    })
    await until('it has begun', () => text === 'first\n')
    project.write('go', '')
    expect(await following).toMatchObject({ state: 'ended', exit: { code: 3, signal: null } })
    expect(text).toBe('first\nsecond\n')
    await expect(client.follow(id)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
    await one.told
  })
})
