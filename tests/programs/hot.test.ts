import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

const PROGRAM = `registry = {}
LIMIT = 3
COUNT = 0

def register(function):
    registry[function.__name__] = function
    return function

@register
def greet(name):
    return "hello " + name

def adder(n):
    def add(x):
        return x + n
    return add

class Shape:
    sides = 4

    def __init__(self, name):
        self.name = name

    def tell(self):
        return self.name

    @property
    def size(self):
        return 1

def numbers():
    yield 1
    yield 2

def stop():
    pass

def report():
    global COUNT
    COUNT += 1
    five = adder_five(5)
    shape = Shape("box")
    kept = shape.tell
    some = numbers()
    next(some)
    registry["greet"]("x")
    before = (five(1), kept(), shape.size)
    stop()
    print(before, registry["greet"]("you"), five(1), kept(), shape.size, Shape.sides, LIMIT, COUNT)
    print(list(some), list(numbers()))

adder_five = adder
report()
print("end")
`
const BEFORE = "(6, 'box', 1)"

describe('a hot resume', () => {
  async function stopped(name: string): Promise<{ project: Project; id: string }> {
    const project = new Project(home, name)
    project.write('app.py', PROGRAM)
    const run = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:stop'] })
    expect(run.report.outcome).toBe('stopped')
    return { project, id: run.report.checkpoint?.id ?? '' }
  }

  it('calls the new code of functions, wherever a reference to them is held', async () => {
    const { project, id } = await stopped('everywhere')
    project.edit('app.py', '"hello " + name', '"bye " + name')
    project.edit('app.py', 'return x + n', 'return x * n + 100')
    project.edit('app.py', 'return self.name', 'return self.name.upper()')
    project.edit('app.py', '        return 1\n', '        return 2\n')
    project.edit('app.py', '    yield 1\n    yield 2\n', '    yield 10\n    yield 20\n')
    const hot = await project.resume(['--hot', id])
    // A generator that is half-way through goes on as it began.
    expect(hot.stdout).toBe(`${BEFORE} bye you 105 BOX 2 4 3 1\n[2] [10, 20]\nend\n`)
    expect(hot.report.reason).toBeNull()
    // The same point once more, with the code as it was.
    project.write('app.py', PROGRAM)
    const back = await project.resume(['--hot', id])
    expect(back.stdout).toBe(`${BEFORE} hello you 6 box 1 4 3 1\n[2] [1, 2]\nend\n`)
  })

  it('goes on in the new code of a running function where what has run of it stands', async () => {
    const { project, id } = await stopped('running')
    project.edit('app.py', 'print(list(some), list(numbers()))', 'print("more", list(some))')
    project.edit('app.py', 'print("end")', 'print("the end")')
    const hot = await project.resume(['--hot', id])
    expect(hot.stdout).toBe(`${BEFORE} hello you 6 box 1 4 3 1\nmore [2]\nthe end\n`)
    project.edit('app.py', 'shape = Shape("box")', 'shape = Shape("ball")')
    const kept = await project.resume(['--hot', id])
    expect(kept.stdout).toBe(`${BEFORE} hello you 6 box 1 4 3 1\n[2] [1, 2]\nthe end\n`)
    expect(kept.stderr).toContain('report() is running and goes on as it was')
  })

  it('binds what is new, and leaves state alone', async () => {
    const { project, id } = await stopped('names')
    project.edit('app.py', 'LIMIT = 3\nCOUNT = 0', 'import string\nLIMIT = 4\nCOUNT = 50')
    project.edit('app.py', '    sides = 4', '    sides = 5')
    project.edit(
      'app.py',
      'def numbers():',
      'def shout(text):\n    return string.capwords(text) + "!"\n\ndef numbers():',
    )
    project.edit('app.py', '"hello " + name', 'shout(name)')
    const hot = await project.resume(['--hot', id])
    expect(hot.stdout).toBe(`${BEFORE} You! 6 box 1 5 4 1\n[2] [1, 2]\nend\n`)
    // COUNT is the program's own by now.
    expect(hot.stderr).toContain('COUNT() stays as it was'.replace('()', ''))
  })

  it('leaves functions whose parameters changed to those who hold them, and says so', async () => {
    const { project, id } = await stopped('parameters')
    project.edit(
      'app.py',
      'def greet(name):\n    return "hello " + name',
      'def greet(name, mark="?"):\n    return "hi " + name + mark',
    )
    const hot = await project.resume(['--hot', id])
    expect(hot.stdout).toContain(`${BEFORE} hello you`)
    expect(hot.stderr).toContain('greet() stays as it was')
  })

  it('refuses an edit that does not compile', async () => {
    const { project, id } = await stopped('broken')
    project.edit('app.py', 'return x + n', 'return x +')
    const broken = await project.resume(['--hot', id])
    expect(broken).toMatchObject({ code: 125, stdout: '' })
    expect(broken.stderr).toMatch(/SYNTAX_ERROR: .*app.py:15: SyntaxError: invalid syntax/)
  })
})
