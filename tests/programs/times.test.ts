import { readFileSync, statSync, utimesSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

const GENERATES = `${WORK}
import os
def generate():
    for name in "made", "second", "third":
        with open(name, "w") as f:
            f.write(name)
    os.replace("third", "renamed")
    os.chmod("script", 0o755)

def compare():
    order = sorted(["source", "made", "second", "renamed"], key=lambda name: os.stat(name).st_mtime_ns)
    print(order, "late")
    print(os.stat("script").st_mtime < os.stat("made").st_mtime)

work()
generate()
work()
compare()
`

it('files are newer than what was edited before the run, as they would be after a cold one', async () => {
  const project = new Project(home, 'newer')
  project.write('source', 'a')
  project.write('script', '')
  project.write('app.py', GENERATES)
  await project.run(PYTHON)
  await sleep(20)
  project.write('source', 'b')
  const { stdout, report } = await project.run(PYTHON)
  expect(report).toMatchObject({ outcome: 'resumed' })
  expect(stdout).toBe("['source', 'made', 'second', 'renamed'] late\nTrue\n")
  expect(stdout).toBe(project.plain(PYTHON).stdout)
})

it('a run that is replayed leaves its files newer than the source that has only a new comment', async () => {
  const project = new Project(home, 'replayed')
  project.write('source', 'a')
  project.write('script', '')
  utimesSync(project.path('script'), 1000, 1000)
  project.write('app.py', GENERATES.replace(/\ncompare\(\)\n$/, '\n'))
  await project.run(PYTHON)
  await sleep(20)
  project.edit('app.py', 'work()\ngenerate()', '# first\nwork()\ngenerate()')
  expect((await project.run(PYTHON)).report.outcome).toBe('replayed')
  const at = (name: string) => statSync(project.path(name)).mtimeMs
  expect(at('made')).toBeGreaterThan(at('app.py'))
  // The kernel's clock may have stood still between the two.
  expect(at('second')).toBeGreaterThanOrEqual(at('made'))
  // Its mode is what the program changes, not what is in it.
  expect(at('script')).toBe(1_000_000)
})

it('a file keeps the time that the program knows or has set', async () => {
  const project = new Project(home, 'known')
  project.write(
    'app.py',
    `${WORK}
import os
def make():
    for name in "known", "set":
        with open(name, "w") as f:
            f.write(name)
    os.utime("set", (5, 5))
    return os.path.getmtime("known")

def check(when):
    print("as it was" if os.path.getmtime("known") == when else "changed", os.path.getmtime("set"))

work()
when = make()
work()
check(when)
`,
  )
  const first = await project.run(PYTHON)
  await sleep(20)
  project.edit('app.py', '"as it was"', '"just as it was"')
  const second = await project.run(PYTHON)
  expect(second.report).toMatchObject({ outcome: 'resumed' })
  expect([first.stdout, second.stdout]).toEqual(['as it was 5.0\n', 'just as it was 5.0\n'])
  expect(readFileSync(project.path('known'), 'utf8')).toBe('known')
})
