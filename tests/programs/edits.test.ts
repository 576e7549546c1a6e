import { symlinkSync, unlinkSync, existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'
import { Project, STEPS, WORK } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

describe('an edit with a syntax error', () => {
  it('is told by Python itself, and the next good edit resumes', async () => {
    const project = new Project(home, 'syntax')
    project.write('app.py', STEPS)
    expect(await project.run(['python3', 'app.py'])).toMatchObject({ code: 0, report: { outcome: 'cold' } })
    const parked = async (run: string) =>
      (await project.tree(run)).checkpoints.filter((one) => one.state === 'parked').map((one) => one.id)
    const [{ id }] = await home.json<[{ id: string }]>(['ls'])
    const before = await parked(id)
    expect(before.length).toBeGreaterThan(0)

    project.edit('app.py', 'print("c")', 'print("c"')
    const broken = await project.run(['python3', 'app.py'])
    expect(broken.code).toBe(1)
    expect(broken.stderr).toMatch(
      /File ".*app\.py", line 16\n\s+print\("c"\n\s+\^\nSyntaxError: '\(' was never closed/,
    )
    expect({ ...broken, report: null }).toEqual({ ...project.plain(['python3', 'app.py']), report: null })
    expect(await parked(id)).toEqual(expect.arrayContaining(before))

    project.edit('app.py', 'print("c"', 'print("C")')
    const next = await project.run(['python3', 'app.py'])
    expect(next).toMatchObject({ code: 0, stdout: 'a\nb\nC\n', stderr: '', report: { outcome: 'resumed' } })
  })

  it('in an imported module resumes as far as the import, and again after its repair', async () => {
    const project = new Project(home, 'syntax-module')
    project.write('app.py', `${WORK}\nwork()\nprint("before", flush=True)\nimport late\nlate.tell()\n`)
    project.write('late.py', 'def tell():\n    print("told")\n')
    await project.run(['python3', 'app.py'])
    project.write('late.py', 'def tell(:\n    print("told")\n')
    const broken = await project.run(['python3', 'app.py'])
    expect({ ...broken, report: null }).toEqual({ ...project.plain(['python3', 'app.py']), report: null })
    expect(broken.stderr).toMatch(/late\.py", line 1\n\s+def tell\(:\n\s+\^/)
    project.write('late.py', 'def tell():\n    print("told again")\n')
    expect(await project.run(['python3', 'app.py'])).toMatchObject({
      code: 0,
      stdout: 'before\ntold again\n',
      report: { outcome: 'resumed' },
    })
  })
})

describe('a file that cannot be read', () => {
  it('as the program is told by Python', async () => {
    const project = new Project(home, 'unreadable')
    // Nobody, root included, can open a link that leads to itself.
    symlinkSync('app.py', project.path('app.py'))
    const done = await project.run(['python3', 'app.py'])
    expect(done).toMatchObject({
      code: 2,
      report: { engine: 'plain', reason: expect.stringContaining('app.py') },
    })
    expect(done.stderr).toBe(project.plain(['python3', 'app.py']).stderr)
  })

  it('as an input of the program counts as changed', async () => {
    const project = new Project(home, 'unreadable-input')
    project.write(
      'app.py',
      `${STEPS}\ntry:\n    print(open("data").read())\nexcept OSError as e:\n    print(e.strerror)\n`,
    )
    project.write('data', 'one')
    await project.run(['python3', 'app.py'])
    unlinkSync(project.path('data'))
    symlinkSync('data', project.path('data'))
    const done = await project.run(['python3', 'app.py'])
    expect(done.stdout).toBe('a\nb\nc\nToo many levels of symbolic links\n')
    expect(done.report.outcome).toBe('resumed')
  })

  it('as a module is told by Python', async () => {
    const project = new Project(home, 'unreadable-module')
    project.write('app.py', `${WORK}\nwork()\nimport late\nprint(late.x)\n`)
    project.write('late.py', 'x = 1\n')
    await project.run(['python3', 'app.py'])
    unlinkSync(project.path('late.py'))
    symlinkSync('late.py', project.path('late.py'))
    const done = await project.run(['python3', 'app.py'])
    expect({ ...done, report: null }).toEqual({ ...project.plain(['python3', 'app.py']), report: null })
  })
})

it('a symbolic link that was looked at is an input by what it is itself', async () => {
  const project = new Project(home, 'link')
  project.write('one', '1')
  project.write('other', '2')
  symlinkSync('one', project.path('link'))
  project.write(
    'app.py',
    `import os\nprint(os.path.basename(os.path.realpath("link")), os.path.islink("link"))\n${STEPS}`,
  )
  await project.run(['python3', 'app.py'])
  project.edit('app.py', 'print("c")', 'print("C")')
  const resumed = await project.run(['python3', 'app.py'])
  expect(resumed.stdout).toBe('one True\na\nb\nC\n')
  expect(resumed.report.checkpoint?.at_seconds).toBeGreaterThan(0.15)
  unlinkSync(project.path('link'))
  symlinkSync('other', project.path('link'))
  expect((await project.run(['python3', 'app.py'])).stdout).toBe('other True\na\nb\nC\n')
})

it('an edit while the program runs is found by the next run', async () => {
  const project = new Project(home, 'meanwhile')
  project.write(
    'app.py',
    `${WORK}
import os
def a():
    work()
    print("a", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.01)

def b():
    work()
    print("b")

def c():
    print("c")

a()
b()
c()
`,
  )
  const first = project.start(['python3', 'app.py'])
  await until('the program is in the middle', () => first.text('stdout').includes('a'))
  project.edit('app.py', 'print("c")', 'print("C")')
  project.write('go', '')
  // It is the code that was there at the start that runs on.
  expect(await first.told).toMatchObject({ code: 0, stdout: 'a\nb\nc\n' })
  const next = await project.run(['python3', 'app.py'])
  expect(next).toMatchObject({ code: 0, stdout: 'a\nb\nC\n' })
  expect(next.report.changed).toContainEqual({ file: 'app.py', unit: 'c', kind: 'body' })
})

it('an edit of a module before it is imported is what the running program sees', async () => {
  const project = new Project(home, 'meanwhile-module')
  project.write(
    'app.py',
    `${WORK}
import os
work()
print("on", flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
import late
print(late.x)
`,
  )
  project.write('late.py', 'x = 1\n')
  const first = project.start(['python3', 'app.py'])
  await until('the program is in the middle', () => first.text('stdout').includes('on'))
  project.write('late.py', 'x = 22\n')
  project.write('go', '')
  expect((await first.told).stdout).toBe('on\n22\n')
  const next = await project.run(['python3', 'app.py'])
  expect(next.stdout).toBe('on\n22\n')
})

it('two runs of the same command at once both run, and the second says why it is cold', async () => {
  const project = new Project(home, 'twice')
  project.write(
    'app.py',
    `${WORK}
import os
work()
print("on", flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
print("done")
`,
  )
  const first = project.start(['python3', 'app.py'])
  await until('the first runs', () => first.text('stdout').includes('on'))
  const second = project.start(['python3', 'app.py'])
  await until('the second runs', () => second.text('stdout').includes('on'))
  project.write('go', '')
  expect(await first.told).toMatchObject({ code: 0, stdout: 'on\ndone\n', report: { outcome: 'cold' } })
  expect(await second.told).toMatchObject({
    code: 0,
    stdout: 'on\ndone\n',
    report: { outcome: 'cold', reason: 'the same command is running already' },
  })
})

it('a working directory that goes while the program runs does no harm', async () => {
  const project = new Project(home, 'gone')
  const app = new Project(home, 'gone-app').write(
    'app.py',
    STEPS.replace('    a()\n', '    a()\n    import os; os.path.exists("stay") or os.rmdir(os.getcwd())\n'),
  )
  expect(await project.run(['python3', app])).toMatchObject({ code: 0, stdout: 'a\nb\nc\n', stderr: '' })
  expect(existsSync(project.directory)).toBe(false)
  project.write('stay', '')
  // No process that was parked in the removed one can serve the new one of that name.
  expect(await project.run(['python3', app])).toMatchObject({ code: 0, stdout: 'a\nb\nc\n', stderr: '' })
})

it('a definition that moved past a statement which needs it is missing there', async () => {
  const project = new Project(home, 'moved')
  const [definition, use] = ['def count(f):\n    count.n += 1\n    return f\n', 'count.n = 0\n']
  const rest = `${WORK}\n@count\ndef late():\n    print("late")\nwork()\nlate()\n`
  project.write('app.py', `${definition}${use}${rest}`)
  await project.run(['python3', 'app.py'])
  project.write('app.py', `${use}${definition}${rest}`)
  const moved = await project.run(['python3', 'app.py'])
  expect({ ...moved, report: null }).toEqual({ ...project.plain(['python3', 'app.py']), report: null })
  expect(moved.stderr).toContain('NameError')
})
