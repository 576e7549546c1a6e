/** What a program learns and does without any audit event, and names that it notices without naming them. */
import { chmodSync, rmSync, symlinkSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5', PYTHONDONTWRITEBYTECODE: '1' })
})
afterAll(() => home[Symbol.asyncDispose]())

interface Case {
  files: Record<string, string>
  setup?: (project: Project) => void
  /** Each is made from where the one before left off, and followed by a run. */
  edits: ((project: Project) => void)[]
  /** Of the last run. */
  outcome?: 'replayed' | 'resumed'
}

const edit = (name: string, before: string, after: string) => (project: Project) =>
  project.edit(name, before, after)

const CASES: Record<string, Case> = {
  'entries of scandir bring their status': {
    files: {
      'app.py': `${WORK}
import os
def sizes():
    with os.scandir("d") as entries:
        print(sorted((e.name, e.stat().st_size) for e in entries))
def last():
    print("last")
work()
sizes()
work()
last()
`,
      'd/a': 'a',
      'd/b': 'bb',
    },
    edits: [(project) => project.write('d/a', 'longer')],
    outcome: 'resumed',
  },
  'a file that became a directory of the same name is another listing': {
    files: {
      'app.py': `${WORK}
import os
def walk():
    print([sorted(names) for _, names, _ in os.walk("d")])
work()
walk()
work()
`,
      'd/a': 'a',
    },
    edits: [
      (project) => {
        rmSync(project.path('d/a'))
        project.write('d/a/b', 'b')
      },
    ],
    outcome: 'resumed',
  },
  'links that lead elsewhere, and permissions': {
    files: {
      'app.py': `${WORK}
import os
def link():
    print(os.path.basename(os.path.realpath("link")), os.path.islink("two"))
def mode():
    print(os.access("tool", os.X_OK) , oct(os.stat("two").st_mode))
work()
link()
work()
mode()
work()
`,
      one: '1',
      two: '2',
      tool: 'tool',
    },
    setup: (project) => symlinkSync('one', project.path('link')),
    edits: [
      (project) => {
        rmSync(project.path('link'))
        symlinkSync('two', project.path('link'))
      },
      (project) => chmodSync(project.path('two'), 0o600),
      (project) => {
        rmSync(project.path('two'))
        symlinkSync('one', project.path('two'))
      },
    ],
    outcome: 'resumed',
  },
  'paths below a directory that is given by its descriptor': {
    files: {
      'app.py': `${WORK}
import os
def read():
    directory = os.open("d", os.O_RDONLY)
    print(os.stat("b", dir_fd=directory).st_size)
    print(os.read(os.open("a", os.O_RDONLY, dir_fd=directory), 10))
work()
read()
work()
`,
      'd/a': 'a',
      'd/b': 'b',
    },
    edits: [(project) => project.write('d/a', 'A'), (project) => project.write('d/b', 'longer')],
    outcome: 'resumed',
  },
  'a database that SQL attaches is written and read': {
    files: {
      'app.py': `${WORK}
import sqlite3
def attached():
    db = sqlite3.connect(":memory:")
    db.execute("attach 'other' as other")
    db.execute("create table if not exists other.t(x)")
    db.execute("insert into other.t values(1)")
    db.commit()
    print(db.execute("select count(*) from other.t").fetchone())
    db.close()
def last():
    print("last")
work()
attached()
work()
last()
`,
    },
    edits: [edit('app.py', '"last"', '"Last"'), edit('app.py', 'values(1)', 'values(2)')],
    outcome: 'resumed',
  },
  'a module that the program writes itself': {
    files: {
      'app.py': `${WORK}
import gen
def use():
    work()
    import made
    print(made.value())
def last():
    print("last")
gen.generate()
work()
use()
work()
last()
`,
      'gen.py': `
def generate():
    with open("made.py", "w") as f:
        f.write("def value():\\n    return 1\\n")
`,
    },
    edits: [
      edit('gen.py', 'return 1', 'return 22'),
      (project) => {
        project.edit('gen.py', 'return 22', 'return 1')
        project.edit('app.py', '"last"', '"Last"')
      },
    ],
    outcome: 'resumed',
  },
  'a file that is written under two names': {
    files: {
      'app.py': `${WORK}
import os
def first():
    with open("same/x", "w") as f:
        f.write("first ")
def second():
    with open("d/x", "a") as f:
        f.write("second ")
def show():
    print(open("same/x").read())
work()
first()
work()
second()
work()
show()
`,
      'd/y': 'y',
    },
    setup: (project) => symlinkSync('d', project.path('same')),
    edits: [edit('app.py', '"second "', '"zwei "')],
    outcome: 'resumed',
  },
  'a file with hard links is written under one of them': {
    files: {
      'app.py': `${WORK}
import os
def clean():
    for name in ("a", "b"):
        if os.path.exists(name):
            os.remove(name)
def make():
    with open("a", "w") as f:
        f.write("first ")
    os.link("a", "b")
def second():
    with open("b", "a") as f:
        f.write("second ")
def show():
    print(open("a").read())
clean()
work()
make()
work()
second()
work()
show()
`,
    },
    edits: [edit('app.py', '"second "', '"zwei "'), edit('app.py', 'print(open', 'print(1, open')],
    outcome: 'resumed',
  },
  'a child by fork runs edited code': {
    files: {
      'app.py': `${WORK}
import os
def child():
    return 3
def main():
    pid = os.fork()
    if pid == 0:
        os._exit(child() + child())
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
work()
main()
`,
    },
    edits: [edit('app.py', 'return 3', 'return 4')],
    outcome: 'resumed',
  },
  'warnings that are recorded tell their lines': {
    files: {
      'app.py': `${WORK}
import warnings
def warn():
    warnings.warn("careful")
def record():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn()
    print([w.lineno for w in seen])
work()
record()
work()
`,
    },
    edits: [edit('app.py', 'def warn', '# a comment\ndef warn')],
    outcome: 'resumed',
  },
  'a variable of the environment is read as bytes': {
    files: {
      'app.py': `${WORK}
import os
def level():
    print(os.environb.get(b"LEVEL"), os.environ.get("OWN"))
os.environb[b"OWN"] = b"mine"
work()
level()
work()
`,
    },
    edits: [(project) => (project.home.env['LEVEL'] = '2')],
    outcome: 'resumed',
  },
  'a constant that only a configuration names': {
    files: {
      'app.py': `${WORK}
import json
import logging.config
import parts
def configure():
    logging.config.dictConfig(json.load(open("log.json")))
    logging.warning("hello")
work()
configure()
work()
`,
      'parts.py': `
import logging
import sys
FORMAT = "<%(message)s>"
def make(format):
    return logging.Formatter(format)
`,
      'log.json': JSON.stringify({
        version: 1,
        formatters: { f: { '()': 'parts.make', format: 'ext://parts.FORMAT' } },
        handlers: { h: { class: 'logging.StreamHandler', formatter: 'f', stream: 'ext://sys.stdout' } },
        root: { handlers: ['h'] },
      }),
    },
    edits: [edit('parts.py', '<%(message)s>', '[%(message)s]')],
    outcome: 'resumed',
  },
  'a module of the name of one that thaw itself has loaded': {
    files: {
      'app.py': `${WORK}
def late():
    import fcntl
    print(getattr(fcntl, "MINE", None))
work()
late()
`,
    },
    edits: [
      (project) => project.write('fcntl.py', 'MINE = 1\n'),
      (project) => rmSync(project.path('fcntl.py')),
    ],
  },
  'a function called exists that asks for more than existence': {
    files: {
      'app.py': `${WORK}
import os
def exists(path):
    return os.stat(path).st_size
def last():
    print("last")
work()
print(exists("data"))
work()
last()
`,
      data: 'data',
    },
    edits: [(project) => project.write('data', 'longer data')],
    outcome: 'resumed',
  },
  'a constant that was taken away and comes back': {
    files: {
      'app.py': `${WORK}
import parts
def late():
    import parts
    print(getattr(parts, "LEVEL", None))
work()
late()
`,
      'parts.py': 'LEVEL = 1\nOTHER = 2\n',
    },
    edits: [edit('parts.py', 'LEVEL = 1\n', ''), edit('parts.py', 'OTHER', 'LEVEL = 1\nOTHER')],
    outcome: 'replayed',
  },
}

it.each(Object.entries(CASES))('%s', async (name, { files, setup, edits, outcome }) => {
  const [warm, cold] = ['warm', 'cold'].map((side) => {
    const project = new Project(home, `${name.replaceAll(' ', '-')}-${side}`)
    for (const [path, content] of Object.entries(files)) project.write(path, content)
    setup?.(project)
    return project
  }) as [Project, Project]
  for (const change of [null, ...edits]) {
    for (const project of [warm, cold]) change?.(project)
    const { report, ...thawed } = await warm.run(PYTHON)
    expect(thawed).toEqual(cold.plain(PYTHON))
    expect(warm.files()).toEqual(cold.files())
    if (change !== null && change === edits.at(-1) && outcome !== undefined)
      expect(report.outcome).toBe(outcome)
  }
})

it('a replay right after a resume reports no change', async () => {
  const project = new Project(home, 'replayed-after-resume')
  project.write(
    'app.py',
    `${WORK}\ndef a():\n    print("a")\ndef b():\n    print("b")\nwork()\na()\nwork()\nb()\n`,
  )
  await project.run(PYTHON)
  project.edit('app.py', '"b"', '"B"')
  const resumed = await project.run(PYTHON)
  expect(resumed.report).toMatchObject({ outcome: 'resumed', changed: [{ unit: 'b', kind: 'body' }] })
  expect((await project.run(PYTHON)).report).toMatchObject({ outcome: 'replayed', changed: [] })
  project.edit('app.py', '"B"', '"b"')
  const back = await project.run(PYTHON)
  expect(back.report).toMatchObject({ outcome: 'replayed', changed: [{ unit: 'b', kind: 'body' }] })
  expect((await project.run(PYTHON)).report).toMatchObject({ outcome: 'replayed', changed: [] })
})
