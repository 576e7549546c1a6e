import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { findInterpreter, passedOver, VERSIONS } from '../support/interpreters.js'
import { Project, WORK, WORK_SECONDS } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

const PROGRAM = `${WORK}
import json, os, pathlib
HERE = pathlib.Path(__file__).resolve().parent, os.path.realpath(__file__)
class Shape:
    """Some shape."""
    sides = 0
    def __init__(self, size):
        super().__init__()
        self.size = size
    def area(self):
        return self.size ** 2
class Square(Shape):
    sides = 4
def load():
    work()
    pathlib.Path("out").mkdir(exist_ok=True)
    return [Square(n) for n in range(3)]
def told(shapes):
    return [(s.area(), type(s).__name__) for s in shapes]
def report(shapes):
    print(json.dumps(told(shapes)))
    pathlib.Path("out/report").write_text(str(len(shapes)))
    1 / (len(shapes) - 3)
def main():
    shapes = load()
    print("loaded", [s.sides for s in shapes])
    report(shapes)
main()
`

/** Edits, one on top of the other, of code that has not run at the checkpoint before report(). */
const EDITS: [string, string][] = [
  ['import json, os, pathlib\n', 'import json, os, pathlib\n# moved\n\n'],
  ['        self.size = size\n', '        self.size = size\n        # moved\n'],
  ['    report(shapes)\nmain', '    extra = [s for s in shapes if s.size]\n    report(extra)\nmain'],
  ['    print(json.dumps(told(shapes)))', '    self = (lambda: shapes)()\n    print(json.dumps(told(self)))'],
]

describe.each(VERSIONS)('under CPython %s', (version) => {
  const python = findInterpreter(version)
  const missing = `no CPython ${version} was found`
  const why = passedOver(version)

  it('an edited program resumes, and does what it does without thaw', async ({ skip }) => {
    if (python === null) return skip(missing)
    const project = new Project(home, `edits-${version}`)
    project.write('app.py', PROGRAM)
    const command = [python, 'app.py']
    expect(await project.run(command)).toMatchObject({ code: 1, report: { outcome: 'cold' } })
    for (const [before, after] of EDITS) {
      project.edit('app.py', before, after)
      const resumed = await project.run(command)
      expect(resumed.report, after).toMatchObject({ outcome: 'resumed' })
      // That a program asked where it lies is no look at what is in the file.
      expect(resumed.report.checkpoint?.at_seconds, after).toBeGreaterThan(WORK_SECONDS)
      const { code, signal, stdout, stderr } = project.plain(command)
      expect({ ...resumed, report: null }).toEqual({ code, signal, stdout, stderr, report: null })
    }
  })

  it('lines and attributes that classes know are those of a cold run', async ({ skip }) => {
    if (python === null || why !== null) return skip(why ?? '')
    const project = new Project(home, `places-${version}`)
    project.write(
      'app.py',
      `${WORK}
class K:
    def m(self):
        self.a = 1
def late():
    print({name: value for name, value in vars(K).items() if type(value) in (int, tuple)})
work()
late()
work()
def later(): print(1)
later()
`,
    )
    const command = [python, 'app.py']
    await project.run(command)
    const edits: [string, string][] = [
      ['class K:', '# moved\nclass K:'],
      ['self.a = 1', 'self.b = 1'],
      ['print(1)', 'print(2)'],
      ['class K:', '# moved\nclass K:'],
    ]
    for (const [before, after] of edits) {
      project.edit('app.py', before, after)
      expect((await project.run(command)).stdout).toBe(project.plain(command).stdout)
    }
  })

  it('what runs beside the program unseen ends the checkpoints', async ({ skip }) => {
    if (python === null || why !== null) return skip(why ?? '')
    if (version < '3.14') return skip('begins with 3.14')
    const begins = [
      `from concurrent import interpreters
interpreters.create().exec("import pathlib; print(pathlib.Path('data').read_text())")`,
      // What the interpreter announces when another process has it run a script.
      'import sys; sys.audit("cpython.remote_debugger_script", "script.py")',
    ]
    for (const [n, begin] of begins.entries()) {
      const project = new Project(home, `beside-${version}-${n}`)
      project.write('app.py', `${WORK}\nwork()\n${begin}\nwork()\ndef last():\n    print("last")\nlast()\n`)
      project.write('data', 'one')
      const command = [python, 'app.py']
      await project.run(command)
      for (const [path, before, after] of [
        ['data', 'one', 'two'],
        ['app.py', 'print("last")', 'print("least")'],
      ] as const) {
        project.edit(path, before, after)
        const again = await project.run(command)
        expect(again.stdout).toBe(project.plain(command).stdout)
        expect(again.report.outcome).not.toBe('replayed')
        expect(again.report.checkpoint?.before).not.toBe('last')
      }
    }
  })

  it('annotations are those of the edited program, whoever asks for them', async ({ skip }) => {
    if (python === null || why !== null) return skip(why ?? '')
    if (version < '3.14') return skip('begins with 3.14')
    const project = new Project(home, `annotations-${version}`)
    project.write(
      'app.py',
      `${WORK}
import annotationlib
level: int = 3
def f(a: Later, b: "text" = 1) -> list[int]: return a
class K:
    x: Later
    def m(self, y: int) -> K: self.q = 1
work()
def asked(what):
    for form in (annotationlib.Format.STRING, annotationlib.Format.VALUE):
        print(annotationlib.get_annotations(what, format=form))
class Later: pass
for what in (f, K, K.m): asked(what)
work()
def last():
    print(__annotations__, 1)
last()
`,
    )
    const command = [python, 'app.py']
    await project.run(command)
    const edits: [string, string][] = [
      ['__annotations__, 1', '__annotations__, 2'],
      ['def f', '# moved\ndef f'],
      ['-> list[int]', '-> list[str]'],
      ['x: Later', 'x: Later | None'],
      ['level: int', 'level: float'],
      ['def last():', 'other: str = ""\ndef last():'],
    ]
    for (const [before, after] of edits) {
      project.edit('app.py', before, after)
      const again = await project.run(command)
      expect(again.stdout, after).toBe(project.plain(command).stdout)
    }
  })

  it('a hot edit of functions that begin with a loop leaves alone what is in that loop', async ({ skip }) => {
    if (python === null || why !== null) return skip(why ?? '')
    const project = new Project(home, `loops-${version}`)
    project.write(
      'app.py',
      `def stop(): pass
def f(x):
    while x:
        x -= 1
        y = [x]
        print("old f", x, y)
def g(x):
    while x:
        x -= 1
        y = [x]
        if x == 2: stop()
        print("old g", x, y)
def h(x):
    while x:
        x -= 1
        y = [x]
        yield x
        print("old h", x, y)
kept = h(2)
next(kept)
f(1)
g(3)
f(1)
print(list(kept))
`,
    )
    const run = await project.run([python, 'app.py'], { flags: ['--break', 'app.py:stop'] })
    for (const name of 'fgh') project.edit('app.py', `old ${name}`, `new ${name}`)
    const hot = await project.resume(['--hot', run.report.checkpoint?.id ?? ''])
    const lines = [...[2, 1, 0].map((n) => `old g ${n} [${n}]`), 'new f 0 [0]']
    expect(hot.stdout.split('\n')).toEqual([...lines, 'old h 1 [1]', 'old h 0 [0]', '[0]', ''])
  })

  it('limits of recursion are those of a plain run', async ({ skip }) => {
    if (python === null || why !== null) return skip(why ?? '')
    const project = new Project(home, `recursion-${version}`)
    project.write(
      'app.py',
      `import json
def deep(n):
    try: return deep(n + 1)
    except RecursionError: return n
count = 0
def through_c(x):
    global count
    count += 1
    return list(map(through_c, [x]))
print(deep(0))
try: through_c(1)
except RecursionError as error: print(count, error)
def nested(n):
    x = []
    for _ in range(n): x = [x]
    return x
low, high = 1, 30000
while low < high:
    middle = (low + high) // 2
    try: json.dumps(nested(middle)); low = middle + 1
    except RecursionError: high = middle
print(low)
`,
    )
    for (const command of [
      [python, 'app.py'],
      [python, '-m', 'app'],
    ])
      expect((await project.run(command)).stdout).toBe(project.plain(command).stdout)
  })

  it('limits of recursion are those of a plain run also in edited functions', async ({ skip }) => {
    if (python === null || why !== null) return skip(why ?? '')
    const project = new Project(home, `recursion-edited-${version}`)
    const program = (printed: string, mapped: string, called: string) => `${WORK}
import contextlib
count = 0
class Lines:
    def write(self, text):
        ${printed}
def through_c(x):
    ${mapped}
def plainly(x):
    ${called}
def reached(function):
    global count
    count = 0
    try: function(1)
    except RecursionError: pass
    return count
def through_print(x):
    with contextlib.redirect_stdout(Lines()):
        print(x)
work()
print([reached(f) for f in (through_print, through_c, plainly)])
`
    const counted = 'global count; count += 1; '
    project.write('app.py', program('pass', 'return 1', 'return 1'))
    await project.run([python, 'app.py'])
    const deep = [`${counted}print("x", text)`, `${counted}list(map(through_c, [x]))`, `${counted}plainly(x)`]
    project.write('app.py', program(...(deep as [string, string, string])))
    const resumed = await project.run([python, 'app.py'])
    expect(resumed.report).toMatchObject({ outcome: 'resumed' })
    expect(resumed.stdout).toBe(project.plain([python, 'app.py']).stdout)
  })

  it('profilers and tracers see what they see without thaw, and end the checkpoints', async ({ skip }) => {
    if (python === null || why !== null) return skip(why ?? '')
    const project = new Project(home, `traced-${version}`)
    project.write(
      'app.py',
      `${WORK}
import cProfile, os, pstats, sys
def g(n): return n * 2
def f(): return sum(g(i) for i in range(100))
def h(x):
    os.path.exists("nothing")
    return x
print(h(1))
work()
profile = cProfile.Profile()
print(profile.runcall(f))
print(sorted((name, entry[0]) for (_, _, name), entry in pstats.Stats(profile).stats.items()))
seen = []
def trace(frame, event, argument):
    seen.append((os.path.basename(frame.f_code.co_filename), frame.f_code.co_name, event, frame.f_lineno))
    return trace
sys.settrace(trace)
h(2)
sys.settrace(None)
print([entry for entry in seen if entry[0] == "app.py"])
if sys.version_info >= (3, 12):
    monitoring, seen = sys.monitoring, []
    monitoring.use_tool_id(3, "one")
    monitoring.register_callback(3, monitoring.events.LINE, lambda code, line: seen.append((code.co_name, line)))
    monitoring.register_callback(3, monitoring.events.PY_START, lambda code, offset: seen.append((code.co_name, offset)))
    monitoring.set_events(3, monitoring.events.LINE | monitoring.events.PY_START)
    f()
    monitoring.set_events(3, 0)
    print(len(seen), [entry for entry in seen if entry[0] in "fg"][:9])
work()
def last(): print("last")
last()
`,
    )
    const command = [python, 'app.py']
    expect((await project.run(command)).stdout).toBe(project.plain(command).stdout)
    project.edit('app.py', 'print("last")', 'print("least")')
    const again = await project.run(command)
    expect(again.stdout).toBe(project.plain(command).stdout)
    expect(again.report.outcome).toBe('resumed')
  })
})
