import { mkdirSync, rmdirSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'
import { Project } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

describe('a run that was interrupted is never the answer to the next one', () => {
  const TICKS = `import sys, time
try:
    for i in range(5):
        print("tick", i, flush=True)
        time.sleep(0.2)
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(0)
print("done")
`
  it.each(['caught', 'not caught'])('%s', async (kind) => {
    const project = new Project(home, kind.replace(' ', '-'))
    const source = kind === 'caught' ? TICKS : TICKS.replace('KeyboardInterrupt', 'ValueError')
    project.write('app.py', source)
    const first = project.start(['python3', 'app.py'])
    await until('it ticks', () => first.text('stdout').includes('tick 1'))
    first.child.kill('SIGINT')
    const interrupted = await first.told
    expect(interrupted.stdout).not.toContain('done')
    const next = await project.run(['python3', 'app.py'])
    expect(next).toMatchObject({ code: 0, stdout: 'tick 0\ntick 1\ntick 2\ntick 3\ntick 4\ndone\n' })
    expect((await project.run(['python3', 'app.py'])).report.outcome).toBe('replayed')
  })

  it('by thaw stop', async () => {
    const project = new Project(home, 'stopped')
    project.write(
      'app.py',
      `import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n${TICKS.replace('0.2', '1')}`,
    )
    const first = project.start(['python3', 'app.py'])
    await until('it ticks', () => first.text('stdout').includes('tick 1'))
    const [{ id }] = await home.json<[{ id: string }]>(['ls'])
    await home.run(['stop', id])
    expect((await first.told).stdout).not.toContain('done')
    expect((await project.run(['python3', 'app.py'])).stdout).toContain('done')
  })
})

describe('a write that fails is an input: what stood in its way may go', () => {
  it.each([
    ['no directory', 'open("sub/o", "w").write("x")', 'mkdir'],
    ['no directory, to append', 'open("sub/o", "a").write("x")', 'mkdir'],
    ['no directory for a database', 'import sqlite3; sqlite3.connect("sub/x.db")', 'mkdir'],
    ['no directory for a directory', 'import os; os.mkdir("sub/x")', 'mkdir'],
    ['a directory in its place', 'open("held", "w").write("x")', 'rmdir'],
    ['a directory in its place, by pathlib', 'import pathlib; pathlib.Path("held").write_text("x")', 'rmdir'],
    ['a directory that is not empty', 'import os; os.rmdir("full")', 'empty'],
  ])('%s', async (name, statement, repair) => {
    const project = new Project(home, name.replace(/\W/g, '-'))
    project.write('app.py', `print("begin")\n${statement}\nprint("end")\n`)
    mkdirSync(project.path('held'))
    project.write('full/x', '')
    expect((await project.run(['python3', 'app.py'])).code).toBe(1)
    if (repair === 'mkdir') mkdirSync(project.path('sub'))
    else if (repair === 'rmdir') rmdirSync(project.path('held'))
    else rmSync(project.path('full/x'))
    expect(await project.run(['python3', 'app.py'])).toMatchObject({ code: 0, stdout: 'begin\nend\n' })
  })
})
