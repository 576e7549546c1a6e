import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
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

describe('a helper that an edit brings', () => {
  const LIB = 'def first():\n    return 1\n\n\ndef last():\n    return 3\n'
  const UNITTEST = `${WORK}
import unittest
import lib

class Tests(unittest.TestCase):
    def test_a(self):
        work()
        self.assertEqual(lib.first(), 1)

    def test_b(self):
        work()

    def test_c(self):
        work()
        self.assertIn(lib.last(), (3, 4))
`
  const HELPERS = [
    ['more(3)', 'def more(x):\n    return x + 1'],
    ['len(SOME)', 'SOME = [1, 2, 3, 4]'],
    ['math.isqrt(16)', 'import math'],
    ['Given(3).value', 'class Given:\n    def __init__(self, value):\n        self.value = value'],
  ]
  const COMMANDS = {
    pytest: COMMAND,
    unittest: ['python3', '-m', 'unittest', '-v', 'test_it'],
    discovery: ['python3', '-m', 'unittest', 'discover', '-v'],
  }
  const equal = (text: string) => text.replace(/in [\d.]+s/g, 'in TIME')

  for (const [name, command] of Object.entries(COMMANDS)) {
    it(`into a module that tests use is met where it is used (${name})`, async () => {
      const project = new Project(home, `helper-${name}`)
      project.write('lib.py', LIB)
      project.write('test_it.py', UNITTEST)
      await project.run(command)
      for (const [use, added] of HELPERS) {
        project.write('lib.py', LIB.replace('return 3', `return ${use}`) + `\n\n${added}\n`)
        const run = await project.run(command)
        expect(run.report, use).toMatchObject({ outcome: 'resumed', checkpoint: { before: 'last' } })
        const plain = project.plain(command)
        expect({ code: run.code, out: equal(run.stdout), err: equal(run.stderr) }).toEqual({
          code: plain.code,
          out: equal(plain.stdout),
          err: equal(plain.stderr),
        })
      }
    })

    it(`into a module that is searched for tests is found there (${name})`, async () => {
      const project = new Project(home, `found-${name}`)
      project.write('lib.py', LIB)
      project.write('test_it.py', UNITTEST)
      await project.run(command)
      for (const added of [
        'def setUpModule():\n    print("set up")\n',
        'class More(unittest.TestCase):\n    def test_more(self):\n        print("more")\n',
        'def load_tests(loader, tests, pattern):\n    print("loads")\n    return tests\n',
        'def test_function():\n    print("a function")\n',
      ]) {
        project.write('test_it.py', UNITTEST + '\n' + added)
        const run = await project.run(command)
        const plain = project.plain(command)
        expect({ code: run.code, out: equal(run.stdout), err: equal(run.stderr) }).toEqual({
          code: plain.code,
          out: equal(plain.stdout),
          err: equal(plain.stderr),
        })
      }
    })
  }
})
