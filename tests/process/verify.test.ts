import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { VerifyReport } from '@thaw/protocol'
import { findPaths, WriteWatch } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
import { Project } from '../support/project.js'
import { remains, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/process/verify.test.ts is skipped: ${why}`)
using watch = WriteWatch.open('/tmp')

/** Takes two lines of stdin, writes two files, and ends with 4. */
const JOB = `
read a; echo "first $a"
mkdir -p out; echo "$a" > out/one
sleep 0.5
read b; echo "then $b" >&2; cat out/one
echo "$b" > out/two
exit 4
`
const OUTSIDE = ['--engine', 'process']

describe.skipIf(why !== null)('thaw verify, for programs of any language', () => {
  let home: Home
  let elsewhere: string
  beforeAll(() => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
    elsewhere = mkdtempSync('/var/tmp/.thaw-elsewhere-')
  })
  afterAll(async () => {
    await home[Symbol.asyncDispose]()
    rmSync(elsewhere, { recursive: true, force: true })
  })

  async function verify(id: string): Promise<{ code: number | null; report: VerifyReport }> {
    const done = await home.run(['verify', '--json', id])
    if (done.stdout === '') throw new Error(done.stderr)
    return { code: done.code, report: JSON.parse(done.stdout) as VerifyReport }
  }

  const project = (name: string, job: string) => {
    const made = new Project(home, name)
    made.write('thaw.toml', '')
    made.write('job.sh', job)
    return made
  }

  it('finds a cold run equal, with stdin and the files that it made', async () => {
    const one = project('cold', JOB)
    const done = await one.run(['sh', 'job.sh'], { flags: OUTSIDE, input: 'a\nb\n' })
    expect(done).toMatchObject({ code: 4, stdout: 'first a\na\n' })
    const { code, report } = await verify(done.report.run)
    expect(report).toMatchObject({ verdict: 'equal', differences: [], exit: { cold: { code: 4 } } })
    expect(code).toBe(0)
    expect(report.notes[0]).toContain('what it does outside of its project is not known')
    // Who writes is told to root only.
    if (watch !== null) expect(report.files).toBe(2)
    expect(one.read('out/two')).toBe('b\n')
  })

  it('finds a resumed one equal to a run from the start', async () => {
    const one = project('resumed', JOB)
    const flags = ['--break-output', 'first']
    const stopped = await one.run(['sh', 'job.sh'], { flags, input: 'a\n' })
    const none = await home.run(['verify', stopped.report.run])
    expect(none.stderr).toContain('NOT_VERIFIABLE: It stopped at a checkpoint.')
    const id = stopped.report.checkpoint?.id ?? ''
    for (const last of ['b', 'c']) {
      expect(await one.resume([id], { input: `${last}\n` })).toMatchObject({ code: 4 })
      const { report } = await verify(stopped.report.run)
      expect(report).toMatchObject({ verdict: 'equal', exit: { recorded: { code: 4 }, cold: { code: 4 } } })
      if (watch !== null) expect(report.files).toBe(2)
    }
    const clones = await one.resume(['-n', '2', id], { input: 'd\n' })
    const { report } = await verify(clones.report.branches?.[1]?.id ?? '')
    expect(report).toMatchObject({ verdict: 'equal', files: 0 })
    expect(report.notes.join()).toContain('not compared: what it wrote in a view of its own')
  })

  it('shows a difference, and keeps what reproduces it', async () => {
    const state = join(elsewhere, 'state')
    writeFileSync(state, 'then\n')
    const one = project('different', `cat ${state}; cat ${state} > made; exit 0\n`)
    const { report: run } = await one.run(['sh', 'job.sh'], { flags: OUTSIDE })
    writeFileSync(state, 'now\n')
    const { code, report } = await verify(run.run)
    expect(report.verdict).toBe('different')
    expect(code).toBe(1)
    expect(report.differences.map(({ what, path, own }) => [what, path, own])).toEqual([
      ['stdout', null, false],
      ['file', 'made', false],
    ])
    expect(report.differences[0]?.diff).toContain('-then\n+now\n')
    expect(existsSync(join(report.bundle ?? '', 'cold', 'stdout'))).toBe(true)
    expect(one.read('made')).toBe('then\n')
  })

  it('knows what the program does otherwise each time', async () => {
    // One word: several short ones would be the same by chance now and then.
    const one = project('random', 'echo same; head -c 8 /dev/urandom | od -An -tx8\n')
    const { report: run } = await one.run(['sh', 'job.sh'], { flags: OUTSIDE })
    const { code, report } = await verify(run.run)
    expect(report).toMatchObject({ verdict: 'undetermined', differences: [{ what: 'stdout', own: true }] })
    expect(code).toBe(3)
  })

  it('says what it cannot know', async () => {
    const one = project('unknown', 'echo more >> notes; cat notes\n')
    one.write('notes', 'mine\n')
    const { report: run } = await one.run(['sh', 'job.sh'], { flags: OUTSIDE })
    const appended = await home.run(['verify', run.run])
    expect(appended.code).toBe(125)
    expect(appended.stderr).toContain(
      watch === null
        ? `${one.path('notes')} changed after it had begun`
        : `what it found in ${one.path('notes')}, where it wrote, was not kept`,
    )
    const two = project('edited', 'echo one\n')
    const { report: other } = await two.run(['sh', 'job.sh'], { flags: OUTSIDE })
    two.write('README', 'new')
    const { report } = await verify(other.run)
    expect(report.verdict).toBe('equal')
    expect(report.notes).toContain(`${two.path('README')} changed after it had begun`)
    two.write('job.sh', 'echo two\n')
    expect((await home.run(['verify', other.run])).stderr).toContain('which need not be a defect')
  })

  it('runs it in a network of the same kind, and leaves nothing', async () => {
    const one = project('network', 'tail -n +3 /proc/net/dev | cut -d: -f1; sleep 0.2\n')
    const flags = [...OUTSIDE, '--net', 'private']
    const { report: run, stdout } = await one.run(['sh', 'job.sh'], { flags })
    expect(stdout.trim()).toBe('lo')
    expect((await verify(run.run)).report.verdict).toBe('equal')
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    expect(remains('/', pid).sandboxes).toEqual([])
    expect(readdirSync(join(home.directory, 'home', 'state', 'verify'))).toEqual([])
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('.thaw-elsewhere'))).toEqual([])
  })
})
