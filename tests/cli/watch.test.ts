import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'
import { Project, STEPS, WORK } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '1' })
})
/** Those that a failed test has left behind. */
const started: (() => void)[] = []
afterEach(() => {
  for (const end of started.splice(0)) end()
})
afterAll(() => home[Symbol.asyncDispose]())

const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

function startWatch(project: Project, command: string[], flags: string[] = []) {
  const one = home.start(['watch', ...flags, '--', ...command], { cwd: project.directory })
  started.push(() => one.child.kill('SIGKILL'))
  const lines = () => one.text('stderr').match(/^thaw: .*$/gm) ?? []
  return {
    ...one,
    lines,
    runs: (count: number) => until(`${count} runs`, () => lines().length >= count, 20),
    /** Nothing more is said within a second. */
    async quiet() {
      const before = [one.text('stdout'), one.text('stderr')]
      await pause(1)
      expect([one.text('stdout'), one.text('stderr')]).toEqual(before)
    },
    async leave() {
      one.child.kill('SIGINT')
      return one.ended
    },
  }
}

describe('watch', () => {
  it('runs at once, and again at a save, with a line for each', async () => {
    const project = new Project(home, 'saves')
    project.write('app.py', STEPS)
    const one = startWatch(project, ['python3', 'app.py'])
    await one.runs(1)
    expect(one.text('stdout')).toBe('a\nb\nc\n')
    expect(one.lines()[0]).toMatch(/^thaw: \d\d:\d\d:\d\d ran cold, .*: first run, exit 0$/)
    project.edit('app.py', 'print("c")', 'print("C"); raise SystemExit(4)')
    await one.runs(2)
    expect(one.text('stdout')).toBe('a\nb\nc\na\nb\nC\n')
    expect(one.lines()[1]).toMatch(
      /^thaw: [\d:]+ resumed before c\(\) \(app.py:\d+\), .* instead of .*, exit 4$/,
    )
    expect(await one.leave()).toMatchObject({ code: 130 })
  })

  it('is quiet where nothing changes, also after an edit that was taken back', async () => {
    const project = new Project(home, 'quiet')
    project.write('app.py', `${STEPS}\nopen("out.txt", "w").write("x")\n`)
    project.write('README', 'x\n')
    const one = startWatch(project, ['python3', 'app.py'])
    await one.runs(1)
    await one.quiet()
    utimesSync(project.path('app.py'), new Date(), new Date())
    project.write('README', 'y\n')
    project.write('app.py', `# a comment\n${project.read('app.py')}`)
    await one.quiet()
    project.edit('app.py', 'print("c")', 'print("C")')
    await one.runs(2)
    project.edit('app.py', 'print("C")', 'print("c")')
    await one.runs(3)
    expect(one.text('stdout')).toBe('a\nb\nc\na\nb\nC\na\nb\nc\n')
    await one.quiet()
    await one.leave()
  })

  it('is quiet where the program does something again, but prints the same and ends likewise', async () => {
    const project = new Project(home, 'repeats')
    project.write('app.py', `${STEPS}\nimport sys\nraise KeyError("x")\n`)
    const one = startWatch(project, ['python3', 'app.py'])
    await one.runs(1)
    expect(one.text('stderr')).toContain("KeyError: 'x'")
    // The interpreter reads the source for its traceback, so this is no replay.
    project.write('app.py', `${project.read('app.py')}# a comment\n`)
    await one.quiet()
    project.edit('app.py', 'print("c")', 'print("C")')
    await one.runs(2)
    expect(one.text('stdout')).toBe('a\nb\nc\na\nb\nC\n')
    // What was held back stands before what differs, and in another order of the streams nothing is lost.
    project.edit('app.py', 'raise KeyError("x")', 'print("d"); raise KeyError("x")')
    await one.runs(3)
    expect(one.text('stdout')).toBe('a\nb\nc\na\nb\nC\na\nb\nC\nd\n')
    project.edit('app.py', 'raise KeyError("x")', 'sys.exit(3)')
    await one.runs(4)
    project.edit('app.py', 'sys.exit(3)', 'sys.exit(4)')
    await one.runs(5)
    expect(one.lines()[4]).toMatch(/, exit 4$/)
    await one.leave()
  })

  it('takes atomic renames and bursts of saves as one save', async () => {
    const project = new Project(home, 'bursts')
    project.write('app.py', 'import one, two\nprint(one.value, two.value, flush=True)\n')
    for (const name of ['one', 'two']) project.write(`${name}.py`, 'value = 1\n')
    const watching = startWatch(project, ['python3', 'app.py'])
    await watching.runs(1)
    for (const name of ['one', 'two']) {
      writeFileSync(project.path(`.${name}.tmp`), 'value = 2  \n')
      renameSync(project.path(`.${name}.tmp`), project.path(`${name}.py`))
      writeFileSync(project.path(`${name}.py`), 'value = 2\n')
    }
    await watching.runs(2)
    await watching.quiet()
    expect(watching.text('stdout')).toBe('1 1\n2 2\n')
    await watching.leave()
  })

  it('notices inputs, new files and new directories', async () => {
    const project = new Project(home, 'inputs')
    project.write('project/thaw.toml', '')
    project.write('data.csv', '1\n')
    project.write(
      'project/app.py',
      'import os\nprint(open("../data.csv").read().strip(), sorted(n for n in os.listdir(".") if "extra" in n), os.path.exists("new/deep/x"))\n',
    )
    const inner = new Project(home, `${basename(project.directory)}/project`)
    const one = startWatch(inner, ['python3', 'app.py'])
    await one.runs(1)
    project.write('data.csv', '2\n')
    await one.runs(2)
    inner.write('extra.txt', '')
    await one.runs(3)
    mkdirSync(inner.path('new/deep'), { recursive: true })
    await one.quiet()
    inner.write('new/deep/x', '')
    await one.runs(4)
    expect(one.text('stdout').split('\n')).toEqual([
      '1 [] False',
      '2 [] False',
      "2 ['extra.txt'] False",
      "2 ['extra.txt'] True",
      '',
    ])
    await one.leave()
  })

  it('stops a program that still runs and begins it anew', async () => {
    const project = new Project(home, 'stops')
    project.write(
      'app.py',
      `${WORK}\ndef last():\n    print("one", flush=True)\n    work(60)\nwork()\nlast()\n`,
    )
    const one = startWatch(project, ['python3', 'app.py'])
    await until('it runs', () => one.text('stdout').includes('one'))
    project.write('app.py', `${WORK}\ndef last():\n    print("two")\nwork()\nlast()\n`)
    await one.runs(2)
    expect(one.lines()[0]).toMatch(/stopped, app.py was saved$/)
    expect(one.text('stdout')).toBe('one\ntwo\n')
    await one.leave()
  })

  it('goes on after an error, and -q leaves out the lines', async () => {
    const project = new Project(home, 'errors')
    project.write('app.py', 'print("x"\n')
    const one = startWatch(project, ['python3', 'app.py'], ['-q'])
    await until('the error is told', () => one.text('stderr').includes('SyntaxError'))
    project.write('app.py', 'print("x")\n')
    await until('it runs', () => one.text('stdout') === 'x\n')
    expect(one.lines()).toEqual([])
    await one.leave()
    expect((await home.run(['watch', 'no-such-command-here'])).code).toBe(127)
    expect((await home.run(['watch', '--help'])).stdout).toMatch(/^Usage: thaw watch/)
  })

  it('is not started by what the command itself writes', async () => {
    const project = new Project(home, 'writes')
    project.write(
      'app.py',
      'import time\nopen("out.txt", "a").write(f"{time.time()}\\n")\nopen("log", "w").write(str(time.time()))\nprint("ran")\n',
    )
    project.write('out.txt', '')
    const python = startWatch(project, ['python3', 'app.py'])
    await python.runs(1)
    await python.quiet()
    expect(python.lines()).toHaveLength(1)
    await python.leave()
    const shell = new Project(home, 'writes-shell')
    shell.write('in', '1\n')
    const one = startWatch(shell, ['sh', '-c', 'cat in; date +%N > made; date +%N >> log'])
    await one.runs(1)
    await one.quiet()
    shell.write('in', '2\n')
    await until('it runs again', () => one.text('stdout').endsWith('2\n'))
    await pause(1)
    expect(one.lines()).toHaveLength(2)
    await one.leave()
  })

  it('ends with its program at Ctrl-C', async () => {
    const project = new Project(home, 'ends')
    project.write(
      'app.py',
      'import time\nprint("on", flush=True)\ntry:\n    time.sleep(60)\nfinally:\n    print("off")\n',
    )
    const one = startWatch(project, ['python3', 'app.py'])
    await until('it runs', () => one.text('stdout').includes('on'))
    expect(await one.leave()).toMatchObject({ code: 130, stdout: 'on\noff\n' })
  })
})
