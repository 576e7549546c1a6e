import { renameSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

/** What a project holds after its program has run without thaw, in a copy of it. */
function cold(name: string, files: Record<string, string>): Record<string, string> {
  const copy = new Project(home, `${name}-cold`)
  for (const [path, content] of Object.entries(files)) copy.write(path, content)
  expect(copy.plain(PYTHON)).toMatchObject({ code: 0, stderr: '' })
  return copy.files()
}

const WRITER = `${WORK}
import os
def early():
    os.makedirs("out/sub", exist_ok=True)
    with open("out/early", "w") as f:
        f.write("early\\n")
    with open("out/both", "w") as f:
        f.write("first\\n")
    with open("out/gone", "w") as f:
        f.write("gone\\n")
    os.rename("out/gone", "out/sub/moved")

def late():
    with open("out/both", "a") as f:
        f.write("second\\n")
    with open("out/late", "w") as f:
        f.write("late 1\\n")
    os.remove("out/sub/moved")
    os.symlink("early", "out/link")

work()
if os.path.isdir("out"):
    import shutil
    shutil.rmtree("out")
early()
work()
late()
work()
print("done")
`

describe('files that a program writes', () => {
  it('are those of a cold run after an edit', async () => {
    const project = new Project(home, 'writer')
    const files: Record<string, string> = { 'app.py': WRITER }
    project.write('app.py', WRITER)
    await project.run(PYTHON)
    expect(project.files()).toEqual(cold('writer', files))
    files['app.py'] = WRITER.replace('late 1', 'late 2').replace('"second\\n"', '"2nd\\n"')
    project.write('app.py', files['app.py'])
    const inode = statSync(project.path('out/early')).ino
    const edited = await project.run(PYTHON)
    expect(edited).toMatchObject({ code: 0, stdout: 'done\n', report: { outcome: 'resumed' } })
    expect(project.files()).toEqual(cold('writer', files))
    if (edited.report.checkpoint?.before === 'late')
      expect(statSync(project.path('out/early')).ino).toBe(inode)
  })

  it('are as after a cold run when they were removed, and nothing else changed', async () => {
    const project = new Project(home, 'removed')
    project.write('app.py', WRITER)
    await project.run(PYTHON)
    const wanted = project.files()
    unlinkSync(project.path('out/late'))
    await project.run(PYTHON)
    expect(project.files()).toEqual(wanted)
  })

  it('are never overwritten by thaw where the user changed them', async () => {
    const project = new Project(home, 'users')
    const app = `${WORK}
import os
def first():
    if not os.path.exists("kept"):
        with open("kept", "w") as f:
            f.write("made\\n")
def second():
    print(open("kept").read(), end="")
def third():
    print("third")
first()
work()
second()
work()
third()
`
    project.write('app.py', app)
    expect((await project.run(PYTHON)).stdout).toBe('made\nthird\n')
    project.write('kept', 'the user wrote this\n')
    const second = await project.run(PYTHON)
    expect(second.stdout).toBe('the user wrote this\nthird\n')
    expect(project.read('kept')).toBe('the user wrote this\n')
    project.edit('app.py', 'print("third")', 'print("THIRD")')
    const third = await project.run(PYTHON)
    expect(third.stdout).toBe('the user wrote this\nTHIRD\n')
    expect(project.read('kept')).toBe('the user wrote this\n')
  })

  it('count on where a cold run would', async () => {
    const project = new Project(home, 'counter')
    project.write(
      'app.py',
      `${WORK}
import os
work()
def count():
    n = int(open("n").read()) if os.path.exists("n") else 0
    with open("n", "w") as f:
        f.write(str(n + 1))
    return n
def end(n):
    print("run", n)
n = count()
work()
end(n)
`,
    )
    for (let n = 0; n < 4; n++) {
      expect((await project.run(PYTHON)).stdout).toBe(`run ${n}\n`)
      expect(project.read('n')).toBe(String(n + 1))
    }
    project.edit('app.py', 'print("run", n)', 'print("RUN", n)')
    expect((await project.run(PYTHON)).stdout).toBe('RUN 4\n')
    expect(project.read('n')).toBe('5')
  })

  it('by sqlite are those of a cold run, however often', async () => {
    const project = new Project(home, 'sqlite')
    project.write(
      'app.py',
      `${WORK}
import sqlite3
work()
def fill():
    db = sqlite3.connect("data.db")
    db.execute("create table if not exists t (x)")
    work()
    db.execute("insert into t values (1)")
    db.commit()
    print(db.execute("select count(*) from t").fetchone()[0])
    db.close()
def end():
    print("end")
fill()
work()
end()
`,
    )
    const rows = () =>
      project.plain([
        'python3',
        '-c',
        'import sqlite3; print(sqlite3.connect("data.db").execute("select count(*) from t").fetchone()[0])',
      ]).stdout
    for (let n = 1; n <= 3; n++) {
      expect((await project.run(PYTHON)).stdout).toBe(`${n}\nend\n`)
      expect(rows()).toBe(`${n}\n`)
    }
    project.edit('app.py', 'print("end")', 'print("END")')
    expect((await project.run(PYTHON)).stdout).toBe('4\nEND\n')
    expect(rows()).toBe('4\n')
  })

  it.each([
    ['made sure of', 'os.makedirs("out", exist_ok=True)'],
    ['could not make', 'try: os.mkdir("out")\nexcept FileExistsError: pass'],
    ['gave its mode', 'os.chmod("out", 0o755)'],
  ])('say nothing of what else came to a directory that the program %s', async (how, statements) => {
    const project = new Project(home, `beside ${how}`)
    project.write('out/kept', '1')
    project.write(
      'app.py',
      `${WORK}import os\n${statements}\nprint(sorted(os.listdir("out")))\nopen("out/own", "w").close()\nwork()\n`,
    )
    await project.run(PYTHON)
    await project.run(PYTHON)
    expect(await project.run(PYTHON)).toMatchObject({
      report: { outcome: 'replayed' },
      stdout: "['kept', 'own']\n",
    })
    project.write('out/new', '2')
    expect(await project.run(PYTHON)).toMatchObject({ code: 0, stdout: "['kept', 'new', 'own']\n" })
  })

  it('open across a checkpoint are continued, also by several branches', async () => {
    const project = new Project(home, 'open')
    const app = `${WORK}
def tail(f):
    f.write("tail 1\\n")
f = open("log", "w")
f.write("head\\n")
f.flush()
work()
tail(f)
work()
f.close()
print(open("log").read(), end="")
`
    project.write('app.py', app)
    expect((await project.run(PYTHON)).stdout).toBe('head\ntail 1\n')
    for (const n of [2, 3]) {
      project.edit('app.py', `tail ${n - 1}`, `tail ${n}`)
      const done = await project.run(PYTHON)
      expect(done).toMatchObject({ stdout: `head\ntail ${n}\n`, report: { outcome: 'resumed' } })
      expect(project.read('log')).toBe(`head\ntail ${n}\n`)
    }
  })

  it('outside the project are effects', async () => {
    const project = new Project(home, 'outside')
    const outside = new Project(home, 'elsewhere')
    project.write(
      'app.py',
      `${WORK}\nwork()\ndef out():\n    with open("../elsewhere/list", "w") as f:\n        f.write("x")\nout()\nwork()\nprint("end")\n`,
    )
    // The temporary directory, in which all of this lies, is no place for effects.
    const env = { TMPDIR: new Project(home, 'temporary').directory }
    for (let n = 1; n <= 2; n++) {
      await project.run(PYTHON, { env })
      expect(outside.read('list')).toBe('x')
      unlinkSync(outside.path('list'))
    }
    const kept = await project.run(PYTHON, { env, flags: ['--effects', 'keep'] })
    expect(kept.report.kept_effects.join()).toContain('elsewhere')
    expect(outside.files()).toEqual({})
  })
})

describe('files that a plain run wrote anew', () => {
  const PROGRAM = `${WORK}
def first():
    with open("out.txt", "w") as f:
        f.write("text\\n")
def last():
    print("WORD")
work()
first()
work()
last()
`
  it('count as unchanged where they hold the same', async () => {
    const project = new Project(home, 'anew')
    project.write('app.py', PROGRAM)
    await project.run(PYTHON)
    expect((await project.run(PYTHON)).report.outcome).toBe('replayed')
    expect(project.plain(PYTHON)).toMatchObject({ code: 0 })
    expect((await project.run(PYTHON)).report.outcome).toBe('replayed')
    project.plain(PYTHON)
    project.write('app.py', PROGRAM.replace('WORD', 'other'))
    const resumed = await project.run(PYTHON)
    expect(resumed).toMatchObject({ stdout: 'other\n', report: { outcome: 'resumed' } })
    expect(project.files()['out.txt']).toBe('text\n')
  })

  it('count as changed where they hold something else, were replaced, or their time had been asked for', async () => {
    const project = new Project(home, 'not-anew')
    project.write('app.py', PROGRAM)
    await project.run(PYTHON)
    project.write('out.txt', 'test\n')
    expect((await project.run(PYTHON)).report.outcome).not.toBe('replayed')
    renameSync(project.write('copy.txt', 'text\n'), join(project.directory, 'out.txt'))
    expect((await project.run(PYTHON)).report.outcome).not.toBe('replayed')
    project.write(
      'app.py',
      PROGRAM.replace(
        '\nfirst()',
        '\nimport os\nprint(os.path.exists("out.txt") and os.stat("out.txt").st_mtime_ns)\nfirst()',
      ),
    )
    await project.run(PYTHON)
    await project.run(PYTHON)
    const then = project.plain(PYTHON).stdout
    const now = await project.run(PYTHON)
    expect(now.report.outcome).not.toBe('replayed')
    expect(now.stdout).not.toBe(then)
  })
})
