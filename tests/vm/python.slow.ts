/** Python programs in machines stop at places in their code, and go on with edited code: the seed's steps. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
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

  it('refuses what would not be exact, and does it hot', async () => {
    project.edit('example.py', 'return 40', 'return 80')
    const refused = await home.run(['resume', stop])
    expect(refused.stderr).toContain('NOT_EXACT')
    const hot = await project.resume(['--hot', stop])
    expect(hot.stdout, hot.stderr).toBe('edited 0 second 40\nedited 1 second 41\n')
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
