import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths, WriteWatch } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
import { Project } from '../support/project.js'
import { whyNot } from '../support/process.js'

// Who wrote a file is told to root only.
using watch = WriteWatch.open('/tmp')
const why = (await whyNot()) ?? (watch === null ? 'the kernel does not tell who writes files' : null)
if (why !== null) console.warn(`tests/process/written.test.ts is skipped: ${why}`)

/** Writes three files and closes them, one by way of another name; then waits, and changes two of them. */
const PROGRAM = `
echo before >> notes
echo one > made.tmp; mv made.tmp made
mkdir -p deep/er; echo one > deep/er/file
echo here
sleep 0.5
cat notes made deep/er/file
echo after >> notes
echo two > made
echo new > late
`

describe.skipIf(why !== null)('files that a program wrote and closed', () => {
  let home: Home
  beforeAll(() => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
  })
  afterAll(() => home[Symbol.asyncDispose]())

  const stopped = async (name: string) => {
    const project = new Project(home, name)
    project.write('job.sh', PROGRAM)
    project.write('notes', 'mine\n')
    const { report, code } = await project.run(['sh', 'job.sh'], { flags: ['--break-output', 'here'] })
    expect(code).toBe(0)
    const read = (file: string) => readFileSync(join(project.directory, file), 'utf8')
    return { project, id: report.checkpoint?.id ?? '', read }
  }
  const THEN = 'mine\nbefore\none\none\n'

  it('are as they were at the checkpoint, in every resume; what came later stays', async () => {
    const { project, id, read } = await stopped('put-back')
    for (let i = 0; i < 3; i++) {
      const resumed = await project.resume([id])
      expect(resumed).toMatchObject({ code: 0, stdout: THEN })
      expect(resumed.report.reason).toBeNull()
      expect([read('notes'), read('made'), read('late')]).toEqual(['mine\nbefore\nafter\n', 'two\n', 'new\n'])
    }
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    expect(await project.resume([id])).toMatchObject({ code: 0, stdout: THEN })
  })

  it('stay as the user has made them, which is said', async () => {
    const { project, id, read } = await stopped('the-users')
    await project.resume([id])
    writeFileSync(join(project.directory, 'notes'), 'edited\n')
    writeFileSync(join(project.directory, 'made'), 'mine now\n')
    const resumed = await project.resume([id])
    expect(resumed.stdout).toBe('edited\nmine now\none\n')
    expect(resumed.report.reason).toBe(
      `changed since, and left so: ${project.path('notes')}, ${project.path('made')}`,
    )
    expect(read('notes')).toBe('edited\nafter\n')
  })

  it('are so in clones too, which change nothing outside', async () => {
    const { project, id, read } = await stopped('clones')
    await project.resume([id])
    const { stdout } = await project.resume(['-n', '2', id])
    for (const n of [1, 2]) expect(stdout).toContain(`[${n}] mine\n`)
    expect(stdout).not.toContain('after')
    expect(stdout).not.toContain('two')
    expect([read('notes'), read('made')]).toEqual(['mine\nbefore\nafter\n', 'two\n'])
    expect(existsSync(join(project.directory, 'made.tmp'))).toBe(false)
  })

  it('of which there is too much for a checkpoint are named', async () => {
    const project = new Project(home, 'large')
    project.write('job.sh', 'head -c 70000000 /dev/zero > large\necho small > small\necho here\nsleep 0.5\n')
    const { report } = await project.run(['sh', 'job.sh'], { flags: ['--break-output', 'here'] })
    const shown = await home.run(['show', report.checkpoint?.id ?? ''])
    expect(shown.stdout).toContain(`not covered   ${join(project.directory, 'large')}`)
    expect(shown.stdout).not.toContain('small')
  })
})
