import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '1' })
})
afterAll(() => home[Symbol.asyncDispose]())

const SUITE = `${WORK}
def test_a():
    work()
    assert True

def test_b():
    work()
    x = 1
    assert x == 1

def test_c():
    work()
    y = 2
    assert y == 2
`
const COMMAND = ['python3', '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
/** Elapsed times differ between any two runs. */
const told = (text: string) => text.replace(/in [\d.]+s/g, 'in TIME')

describe('an edit of a test', () => {
  it('goes on from just before it, whether pytest had the file compiled or not', async () => {
    const project = new Project(home, 'body')
    project.write('test_it.py', SUITE)
    await project.run(COMMAND)
    // A file edited within the second of its compilation, to the same size, looks unedited to pytest itself.
    for (const value of ['22', '2  # two', 'y']) {
      const text = SUITE.replace('y == 2', `y == ${value}`)
      project.write('test_it.py', text)
      const run = await project.run(COMMAND)
      const plain = project.plain(COMMAND)
      expect({ code: run.code, stdout: told(run.stdout) }).toEqual({
        code: plain.code,
        stdout: told(plain.stdout),
      })
      if (value.includes('#')) continue
      expect(run.report).toMatchObject({ outcome: 'resumed', checkpoint: { before: 'test_c' } })
    }
    // Lines that shift behind it are looked at later.
    project.edit('test_it.py', '    x = 1\n', '    x = 1\n    assert x\n')
    const run = await project.run(COMMAND)
    expect(run.report).toMatchObject({ outcome: 'resumed', checkpoint: { before: 'test_b' } })
    expect(told(run.stdout)).toBe(told(project.plain(COMMAND).stdout))
  })

  it('that does not compile is told by pytest, and so is its repair', async () => {
    const project = new Project(home, 'syntax')
    project.write('test_it.py', SUITE.replace('y = 2', 'y = = 2'))
    const broken = await project.run(COMMAND)
    expect({ code: broken.code, stdout: told(broken.stdout) }).toEqual({
      code: 2,
      stdout: told(project.plain(COMMAND).stdout),
    })
    project.write('test_it.py', SUITE)
    expect(told((await project.run(COMMAND)).stdout)).toContain('3 passed')
    project.write('test_it.py', SUITE.replace('y = 2', 'y = = 2'))
    expect((await project.run(COMMAND)).code).toBe(2)
  })

  it('of a fixture in conftest.py reaches every test that uses it', async () => {
    const project = new Project(home, 'fixture')
    project.write('conftest.py', 'import pytest\n\n@pytest.fixture\ndef two():\n    return 2\n')
    project.write('test_it.py', SUITE.replace('test_c():', 'test_c(two):').replace('y == 2', 'y == two'))
    expect((await project.run(COMMAND)).code).toBe(0)
    project.edit('conftest.py', 'return 2', 'return 3')
    const run = await project.run(COMMAND)
    const plain = project.plain(COMMAND)
    expect({ code: run.code, stdout: told(run.stdout) }).toEqual({ code: 1, stdout: told(plain.stdout) })
    expect(run.report.outcome).toBe('resumed')
  })
})
