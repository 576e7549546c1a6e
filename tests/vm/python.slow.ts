/** Python programs in machines stop at places in their code, and go on with edited code: the seed's steps. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { Project } from '../support/project.js'
import { processesWith, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

const MINUTE = 60_000
const PYTHON = ['python3', 'example.py']

/** As the seed's example: a long preparation, then iterations of a function that is being written. */
const EXAMPLE = `
import threading

def prepare():
    print("preparing", flush=True)
    with open("prepared.txt", "w") as file:
        file.write("prepared")
    return 40

def inner(i):
    return f"iteration {i}"

lock = threading.Lock()
total = prepare()
for i in range(2):
    print(inner(i), open("word.txt").read(), total + i, flush=True)
`

describe.skipIf(reason !== null)('a Python program in a machine', { timeout: 10 * MINUTE }, () => {
  let home: Home
  let project: Project
  let stop = ''

  beforeAll(() => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
    project = new Project(home, 'example')
    project.write('example.py', EXAMPLE)
    project.write('word.txt', 'first')
  })
  afterAll(async () => {
    const { directory } = home
    await home[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  }, MINUTE)

  it('stops before a function, with a copy of its machine', async () => {
    const flags = ['--engine', 'vm', '--break', 'example.py:inner']
    const told = await project.start(PYTHON, { flags }).told
    expect(told, told.stderr).toMatchObject({
      code: 0,
      stdout: 'preparing\n',
      report: {
        outcome: 'stopped',
        engine: 'vm',
        checkpoint: { before: 'inner', file: 'example.py' },
      },
    })
    expect(project.read('prepared.txt')).toBe('prepared')
    stop = told.report.checkpoint?.id ?? ''
  })

  it('goes on exactly, with the function as it is now', async () => {
    project.edit('example.py', 'f"iteration {i}"', 'f"edited {i}"')
    const told = await project.resume([stop])
    expect(told, told.stderr).toMatchObject({
      code: 0,
      stdout: 'edited 0 first 40\nedited 1 first 41\n',
      report: { outcome: 'resumed', engine: 'vm', checkpoint: { id: stop, before: 'inner' } },
    })
    expect(told.report.changed).toEqual([{ file: 'example.py', unit: 'inner', kind: 'body' }])
  })

  it('goes on many times at once, and stops again', async () => {
    project.write('word.txt', 'second')
    const again = await project.resume(['-n', '2', '--break', 'example.py:inner', stop])
    expect(again.stdout.match(/edited 0 second 40/g), again.stderr).toHaveLength(2)
    const next = again.report.branches?.[1]?.stop ?? ''
    const told = await project.resume([next])
    expect(told.stdout, told.stderr).toBe('edited 1 second 41\n')
  })

  it('goes on from its stop after the daemon was killed, with its code as it is then', async () => {
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    project.edit('example.py', 'f"edited {i}"', 'f"later {i}"')
    project.write('word.txt', 'third')
    const told = await project.resume([stop])
    expect(told.stdout, told.stderr).toBe('later 0 third 40\nlater 1 third 41\n')
    expect(told.report.changed).toMatchObject([{ unit: 'inner', kind: 'body' }])
  })

  it('is copied while it runs, when it is asked for and by time', async () => {
    const ticks = new Project(home, 'ticks')
    ticks.write(
      'app.py',
      'import time\nfor i in range(60):\n    print("tick", i, flush=True)\n    time.sleep(0.2)\n',
    )
    const flags = ['--engine', 'vm', '--break', 'app.py:3#99']
    const live = ticks.start(['python3', 'app.py'], { flags: [...flags, '--every', '4s'] })
    await until('it runs', () => live.text('stdout').includes('tick 5\n'), 60)
    const run = (await home.json<{ id: string; command: string[] }[]>(['ls'])).find(({ command }) =>
      command.includes('app.py'),
    )
    const asked = await home.run(['checkpoint', run?.id ?? '', '--name', 'here'])
    expect(asked.code, asked.stderr).toBe(0)
    const whole = await live.told
    expect(whole.stdout.trim().split('\n')).toHaveLength(60)
    const { checkpoints } = await ticks.tree(run?.id ?? '')
    expect(checkpoints.map(({ name, kind, state }) => [name, kind, state])).toContainEqual([
      'here',
      'asked',
      'parked',
    ])
    expect(checkpoints.filter(({ kind }) => kind === 'moment').length).toBeGreaterThan(0)
    const { stdout, stderr } = await ticks.resume(['here'])
    const lines = stdout.trim().split('\n')
    expect(lines.length, stderr).toBeLessThan(55)
    expect(lines).toEqual(whole.stdout.trim().split('\n').slice(-lines.length))
  })

  it('refuses what would not be exact, and does it hot', async () => {
    project.edit('example.py', 'return 40', 'return 80')
    const refused = await home.run(['resume', stop])
    expect(refused.stderr).toContain('NOT_EXACT')
    const hot = await project.resume(['--hot', stop])
    expect(hot.stdout, hot.stderr).toBe('later 0 third 40\nlater 1 third 41\n')
    const { code, stderr } = await home.run(
      ['run', '--engine', 'vm', '--break', 'example.py:absent', ...PYTHON],
      {
        cwd: project.directory,
      },
    )
    expect(code).toBe(125)
    expect(stderr).toContain('PLACE_NOT_FOUND')
  })
})
