/** kill -9 in the middle of a repair: the files are the user's, or the last accepted step, never a mixture. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Steps } from '../../packages/thaw/src/repair/steps.js'
import { bundle } from '../support/bundle.js'
import { Home, until } from '../support/home.js'
import { Project } from '../support/project.js'
import { spawnSync } from 'node:child_process'

describe('steps on disk', () => {
  let directory: string
  const NAMES = ['a.py', 'b.py']
  const contents = () => NAMES.map((name) => readFileSync(join(directory, 'project', name), 'utf8'))

  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-steps-')))
    spawnSync('mkdir', ['-p', join(directory, 'project'), join(directory, 'steps')])
    for (const name of NAMES) writeFileSync(join(directory, 'project', name), `before ${name}\n`)
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  it('are whole or not at all, wherever the process is killed', async () => {
    using victim = await bundle('tests/repair/victim.ts')
    const seen = new Set<string>()
    for (let call = 1; call < 200; call++) {
      const done = spawnSync(process.execPath, [victim.program, directory, String(call)], {
        encoding: 'utf8',
      })
      expect(done.stderr).toBe('')
      const steps = new Steps(join(directory, 'steps'))
      const undone = steps.recover()
      const now = contents()
      const whole = steps.numbers().length === 1 ? 'after' : 'before'
      expect(now, `killed before call ${call}`).toEqual(NAMES.map((name) => `${whole} ${name}\n`))
      expect(readdirSync(join(directory, 'project')).toSorted()).toEqual(NAMES)
      expect(readdirSync(join(directory, 'steps'))).toEqual(whole === 'after' ? ['step-1'] : [])
      seen.add(`${whole} ${undone}`)
      if (whole === 'after') steps.takeBack(1)
      expect(contents()).toEqual(NAMES.map((name) => `before ${name}\n`))
      if (done.signal === null) break
    }
    // Killed before, within, and after the step.
    expect([...seen].toSorted()).toEqual(['after false', 'before false', 'before true'])
  }, 120_000)

  it('leave alone what somebody else has changed in between', () => {
    const steps = new Steps(join(directory, 'steps'))
    const edit = (name: string) => ({
      path: name,
      before: Buffer.from(`before ${name}\n`),
      after: Buffer.from(`after ${name}\n`),
      mode: 0o644,
    })
    const number = steps.accept(join(directory, 'project'), NAMES.map(edit))
    writeFileSync(join(directory, 'project', 'b.py'), 'mine\n')
    expect(steps.disturbed()).toEqual(['b.py'])
    expect(steps.takeBack(number)).toEqual(['b.py'])
    expect(contents()).toEqual(['before a.py\n', 'mine\n'])
  })
})

describe('a daemon that is killed', () => {
  it('leaves the files of the last accepted step, no process, and a repair that can be undone', async () => {
    await using home = new Home()
    const project = new Project(home, 'killed')
    project.write('thaw.toml', '')
    const faulty =
      'import time\ndef a(): return 1 / 0\ndef b(): return [][1]\nprint("start", flush=True)\na()\nb()\n'
    project.write('job.py', faulty)
    const marker = join(home.directory, 'second')
    // The first answer helps; while the second is being made, the daemon is killed.
    const script = `if grep -q '1 / 0' job.py; then sed -i 's|1 / 0|1|' job.py; else echo broken >> job.py; touch ${marker}; sleep 300; fi`
    const started = home.start(['repair', '--with', script, 'job.py'], { cwd: project.directory })
    await until('the second question', () => spawnSync('test', ['-e', marker]).status === 0, 40)
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    expect((await started.ended).stderr).toContain('DAEMON_LOST')
    expect(project.read('job.py')).toBe(faulty.replace('1 / 0', '1'))
    await until('the end of the repairer', () => home.processes().length === 0, 20)
    const listed = await home.json<{ id: string; state: string; files: string[] }[]>(['repair', 'ls'])
    expect(listed).toMatchObject([{ state: 'interrupted', files: ['job.py'] }])
    const state = createHash('sha1')
      .update(join(home.env['THAW_HOME'] ?? '', 'state'))
      .digest('hex')
    expect(readdirSync(tmpdir()).filter((name) => name.includes(state.slice(0, 8)))).toEqual([])
    const undone = await home.run(['repair', 'undo'], { cwd: project.directory })
    expect(undone.code, undone.stderr).toBe(0)
    expect(project.read('job.py')).toBe(faulty)
  }, 120_000)
})
