import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, root, until } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

let home: Home
/** An interpreter with the package `thaw`, as `pip install agents/python` leaves it. */
let python: string
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
  const venv = join(home.directory, 'venv')
  python = join(venv, 'bin', 'python')
  const steps = [
    ['python3', '-m', 'venv', venv],
    [python, '-m', 'pip', 'install', '-q', '--no-index', join(root, 'agents', 'python')],
  ]
  for (const [file = '', ...args] of steps) {
    const done = spawnSync(file, args, { env: home.env, encoding: 'utf8' })
    if (done.status !== 0) throw new Error(done.stderr)
  }
}, 180_000)
afterAll(() => home[Symbol.asyncDispose]())

const MARKED = `${WORK}
import random
import thaw

random.seed(1)
told = []
thaw.after_restore(lambda: (random.seed(thaw.branch()), told.append(thaw.branch())))
thaw.before_checkpoint(lambda: told.append("before"))

@thaw.hot
def show(n):
    return f"A{n}"

out = [show(1)]
work()
thaw.checkpoint("loaded")
out.append(show(2))
work()
print(out, told, thaw.branch(), random.random())
`

describe('the package thaw', () => {
  it('does nothing without thaw, and its marks change nothing in a run', async () => {
    const project = new Project(home, 'marked')
    project.write('app.py', MARKED)
    const plain = project.plain([python, 'app.py'])
    expect(plain.stdout).toMatch(/^\['A1', 'A2'\] \[\] None 0\.1343/)
    const first = await project.run([python, 'app.py'])
    // The program itself asks for this checkpoint: its functions run in every run under thaw.
    expect(first.stdout).toBe(plain.stdout.replace('[]', "['before']"))
    expect((await project.run([python, 'app.py'])).stdout).toBe(first.stdout)
  })

  it('names a checkpoint to go on from, in branches that differ where the program wants it', async () => {
    const project = new Project(home, 'named')
    project.write('app.py', MARKED)
    await project.run([python, 'app.py'])
    const branches = await project.resume(['-q', '-n', '3', 'loaded'])
    const lines = branches.stdout.trimEnd().split('\n').sort()
    expect(lines.map((line) => line.replace(/ 0\.\d+$/, ''))).toEqual(
      [1, 2, 3].map((n) => `[${n}] ['A1', 'A2'] ['before', ${n}] ${n}`),
    )
    expect(new Set(lines.map((line) => line.split(' ').at(-1))).size).toBe(3)
    expect((await home.run(['tree', branches.report.run])).stdout).toMatch(/in app.py:\d+ "loaded"/)
  })

  it('keeps the state when a hot function is edited', async () => {
    const project = new Project(home, 'hot')
    project.write('app.py', MARKED)
    await project.run([python, 'app.py'])
    project.edit('app.py', 'f"A{n}"', 'f"B{n}"')
    // It had come past both calls: what they returned stays.
    const kept = await project.run([python, 'app.py'])
    expect(kept).toMatchObject({ report: { outcome: 'resumed', changed: [{ unit: 'show', kind: 'body' }] } })
    expect(kept.stdout).toMatch(/^\['A1', 'A2'\] /)
    expect((await project.resume(['loaded'])).stdout).toMatch(/^\['A1', 'B2'\] /)
  })
})

const LOOP = `${WORK}
n = 0
def step():
    global n
    n += 1
    work(0.02)
while n < LAST:
    step()
print("done")
`

describe('a live program', () => {
  it('gives a checkpoint when it is asked, under a name', async () => {
    const project = new Project(home, 'asked')
    project.write('app.py', LOOP.replace('LAST', '150'))
    const command = ['python3', 'app.py']
    const live = project.start(command)
    const runs = () => home.json<{ id: string; cwd: string; state: string }[]>(['ls'])
    const mine = async () => (await runs()).find(({ cwd }) => cwd === project.directory)
    await until('it runs', async () => (await mine())?.state === 'live')
    const id = (await mine())?.id ?? ''
    const taken = await home.run(['checkpoint', id, '--name', 'mid'])
    expect(taken).toMatchObject({ code: 0, stderr: '' })
    expect(taken.stdout).toMatch(/^c_\w+ {2}in (work|step)\(\) \(app.py:\d+\) "mid", after /)
    expect((await home.run(['checkpoint', id, '--name', 'no spaces'])).stderr).toContain('INVALID_REQUEST')
    expect(await live.told).toMatchObject({ code: 0, stdout: 'done\n' })
    expect((await project.resume(['mid'])).stdout).toBe('done\n')
    project.edit('app.py', '"done"', '"ready"')
    expect((await project.resume(['mid'])).stdout).toBe('ready\n')
    expect(await home.run(['checkpoint', id])).toMatchObject({ code: 125 })
  })

  it('gives them by time with --every', async () => {
    const project = new Project(home, 'every')
    project.write('app.py', LOOP.replace('LAST', '20'))
    const plain = await project.run(['python3', 'app.py'])
    const usual = (await project.tree(plain.report.run)).checkpoints.length
    const run = await project.run(['python3', 'app.py'], { flags: ['--fresh', '--every', '0.1s'] })
    expect(run.stdout).toBe('done\n')
    const checkpoints = (await project.tree(run.report.run)).checkpoints.slice(usual)
    expect(checkpoints.length).toBeGreaterThanOrEqual(usual + 2)
    for (const { id } of checkpoints.slice(-2)) expect((await project.resume([id])).stdout).toBe('done\n')
    for (const every of ['never', '0', '-1s']) {
      const refused = await home.run(['run', '--every', every, 'true'])
      expect(refused).toMatchObject({ code: 125, stdout: '' })
      expect(refused.stderr).toContain('INVALID_REQUEST: every: ')
    }
  })

  it('says why it cannot, and goes on', async () => {
    const project = new Project(home, 'cannot')
    project.write(
      'app.py',
      'import os, threading, time\nstop = threading.Event()\nthreading.Thread(target=stop.wait).start()\nprint("on", flush=True)\nwhile not os.path.exists("go"):\n    time.sleep(0.01)\nstop.set()\nprint("off")\n',
    )
    const live = project.start(['python3', 'app.py'])
    await until('it runs', () => live.text('stdout').includes('on'))
    const [{ id }] = await home.json<[{ id: string }]>(['ls'])
    const refused = await home.run(['checkpoint', id])
    expect(refused.code).toBe(125)
    expect(refused.stderr).toContain('CHECKPOINT_REFUSED: There can be no checkpoint now: another thread')
    project.write('go', '')
    expect(await live.told).toMatchObject({ code: 0, stdout: 'on\noff\n' })
  })
})
