import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RepairReport } from '@thaw/protocol'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.asyncDispose]())

const FAULTY = `import time

def load():
    print("loading", flush=True)
    time.sleep(0.5)
    return [1, 2, 3]

def total(values):
    with open("out.txt", "w") as file:
        file.write("begun")
    return sum(values) + values[3]

result = total(load())
with open("out.txt", "w") as file:
    file.write(str(result))
print(result)
`
/** Answers by its number: an index that is as wrong, the right one, one that never ends. */
const REPAIRER = `import json, sys
number = json.load(sys.stdin)["candidate"]
edits = {1: ("values[3]", "values[4]"), 2: ("+ values[3]", ""), 3: ("values[3]", "time.sleep(600)")}
with open("job.py") as file:
    text = file.read()
with open("job.py", "w") as file:
    file.write(text.replace(*edits[number]))
`

it('tries several edits side by side, each with its own files; the first that passes is taken', async () => {
  const project = new Project(home, 'several')
  project.write('thaw.toml', '')
  project.write('job.py', FAULTY)
  const repairer = home.write('answers.py', REPAIRER)
  const file = join(home.directory, 'report.json')
  const command = ['repair', '--candidates', '3', '--report', file, '-v', '--with', `python3 ${repairer}`]
  const done = await home.run([...command, '--check', 'grep -q 6 out.txt', 'job.py'], {
    cwd: project.directory,
  })
  expect(done, done.stderr).toMatchObject({ code: 0, stdout: 'loading\n6\n' })
  const report = JSON.parse(readFileSync(file, 'utf8')) as RepairReport
  const outcomes = Object.fromEntries(report.tried.map(({ candidate, outcome }) => [candidate, outcome]))
  expect(outcomes).toMatchObject({ 2: 'succeeded', 3: 'not needed' })
  expect(['taken back', 'not needed']).toContain(outcomes[1])
  // Only the one that passed was ever run in the project: the others did not touch its files.
  expect(report.attempts).toHaveLength(2)
  expect(report.attempts[1]?.report.outcome).toBe('resumed')
  expect(project.read('out.txt')).toBe('6')
  expect(project.read('job.py')).toBe(FAULTY.replace('+ values[3]', ''))
}, 90_000)
