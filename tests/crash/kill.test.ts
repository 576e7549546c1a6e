import { existsSync, readdirSync, readFileSync, readlinkSync as readlink } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'
import { moments } from '../support/moments.js'
import { Project, STEPS, WORK } from '../support/project.js'

const PYTHON = ['python3', 'app.py']

let home: Home
let project: Project
beforeEach(() => {
  home = new Home()
  project = new Project(home, 'p')
})
afterEach(() => home[Symbol.asyncDispose]())

const daemon = async () => (await home.json<{ pid: number }>(['daemon', 'status'])).pid
const kill = (pid: number) => process.kill(pid, 'SIGKILL')

/** No process, socket, FIFO or half record of the killed daemon; what it lost is told, once. */
async function expectNothingLeft(lost: RegExp, killed = 0): Promise<void> {
  // A command that was asking the killed daemon may have started the next one.
  const isNext = (pid: number) => killed !== 0 && pid !== killed && cmdline(pid).includes('daemon.js')
  await until('all processes are gone', () => home.processes().every(isNext))
  const next = await home.run(['run', 'echo', 'next'])
  expect(next).toMatchObject({ code: 0, stdout: 'next\n' })
  expect(next.stderr).toMatch(lost)
  expect((await home.run(['run', 'echo', 'next'])).stderr).not.toMatch(/lost/)
  const run = join(home.env['THAW_HOME'] as string, 'run')
  // Plain runs end with their directories, so that only the daemon's own files are there.
  expect(readdirSync(run).filter((name) => name.startsWith('f'))).toEqual([])
  for (const one of await home.json<{ id: string; state: string }[]>(['ls'])) {
    const tree = await home.json<{ branches: { state: string }[]; checkpoints: { state: string }[] }>([
      'tree',
      one.id,
    ])
    expect(one.state).not.toBe('live')
    expect(tree.branches.filter(({ state }) => state === 'live')).toEqual([])
    expect(tree.checkpoints.filter(({ state }) => state === 'parked')).toEqual([])
  }
  await home.run(['gc'])
  const records = join(home.env['THAW_HOME'] as string, 'state', 'runs')
  const known = new Set((await home.json<{ id: string }[]>(['ls'])).map(({ id }) => id))
  expect(readdirSync(records).filter((name) => !known.has(name))).toEqual([])
}

describe('kill -9 of the daemon', () => {
  it('during a run, with children of every kind', async () => {
    project.write(
      'app.py',
      `${STEPS}
import os, signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "60"])
subprocess.Popen(["sh", "-c", "trap '' TERM HUP; sleep 60 & sleep 60"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("daemon", flush=True)
        time.sleep(60)
    os._exit(0)
time.sleep(60)
`,
    )
    const one = project.start(PYTHON)
    await until('all are there', () => one.text('stdout').includes('daemon'))
    kill(await daemon())
    expect(await one.ended).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^thaw: DAEMON_LOST: /),
    })
    await expectNothingLeft(/lost: python3 app\.py \(r_\w+\) while it ran, [1-9]\d* checkpoint/)
    project.write('app.py', STEPS)
    expect((await project.run(PYTHON)).report).toMatchObject({ outcome: 'cold', exit: { code: 0 } })
  })

  it('when only parked checkpoints are there', async () => {
    project.write('app.py', STEPS)
    const first = await project.run(PYTHON)
    await until('they are parked', async () => (await project.tree(first.report.run)).run.checkpoints > 0)
    kill(await daemon())
    await expectNothingLeft(/lost: [1-9]\d* checkpoints?\n/)
    const again = await project.run(PYTHON)
    expect(again).toMatchObject({ code: 0, stdout: 'a\nb\nc\n', report: { outcome: 'cold' } })
  })

  it('does not end what earlier programs left running', async () => {
    project.write(
      'app.py',
      `import subprocess
subprocess.Popen(["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; touch gone-on"], stdout=subprocess.DEVNULL)
`,
    )
    await project.run(PYTHON)
    kill(await daemon())
    await until('only that is left', () => home.processes().every((pid) => parents(pid).includes('sh')))
    project.write('go', '')
    await until('it goes on', () => existsSync(project.path('gone-on')))
    await until('it ends', () => home.processes().length === 0)
  })

  // At moments spread over a run whose checkpoints follow one another as fast as they can.
  it.each(moments(120, 5))('during checkpoints, %i ms after the first output', async (delay) => {
    const steps = Array.from({ length: 40 }, (_, n) => `def f${n}():\n    work(0.012)\nf${n}()\n`).join('')
    project.write('app.py', `${WORK}\nprint("on", flush=True)\n${steps}`)
    project.write('thaw.toml', 'min_gap = 0.001\nfactor = 0.01\n')
    await home.run(['daemon', 'start'])
    const pid = await daemon()
    const one = project.start(PYTHON)
    await until('the program runs', () => one.text('stdout').includes('on'))
    await new Promise((resolve) => setTimeout(resolve, delay))
    kill(pid)
    expect((await one.ended).code).toBe(125)
    await expectNothingLeft(/lost: python3 app\.py \(r_\w+\) while it ran/)
    expect(await project.run(PYTHON)).toMatchObject({ code: 0, stdout: 'on\n', report: { outcome: 'cold' } })
  })

  it.each(moments(10, 0, 30))('during a resume, %i ms after it was asked for', async (delay) => {
    project.write('app.py', STEPS)
    await project.run(PYTHON)
    project.edit('app.py', 'print("c")', 'print("C"); work(0.5)')
    const pid = await daemon()
    const one = home.start(['run', ...PYTHON], { cwd: project.directory })
    // The command line takes some time to start: from there on counts when the daemon has opened its record.
    const records = join(home.env['THAW_HOME'] as string, 'state', 'runs')
    const branches = () =>
      readdirSync(records).flatMap((run) =>
        readdirSync(join(records, run)).filter((name) => name.startsWith('b_')),
      )
    await until('the resume has begun', () => branches().length > 1)
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay))
    kill(pid)
    expect((await one.ended).code).toBe(125)
    await expectNothingLeft(/lost: /)
    expect(await project.run(PYTHON)).toMatchObject({
      code: 0,
      stdout: 'a\nb\nC\n',
      report: { outcome: 'cold' },
    })
  })

  it.each(moments(0, 5))('during gc, %i ms after it was asked for', async (delay) => {
    project.write('app.py', STEPS)
    for (let n = 0; n < 3; n++) {
      await project.run(PYTHON, { flags: ['--fresh'] })
    }
    const { run } = (await project.run(PYTHON)).report
    const pid = await daemon()
    const gc = home.start(['gc'])
    await until('gc was asked for', () => connected(gc.child.pid ?? 0), 5)
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay))
    kill(pid)
    await gc.ended
    await expectNothingLeft(/lost: [1-9]\d* checkpoint/, pid)
    expect((await home.run(['show', run])).code).toBe(0)
    expect(await project.run(PYTHON)).toMatchObject({ code: 0, stdout: 'a\nb\nc\n' })
  })
})

describe("kill -9 of a run's helper process", () => {
  it('ends the run, leaves nothing, and the next run is cold', async () => {
    project.write('app.py', `${STEPS}\nprint("on", flush=True)\ntime.sleep(60)\n`)
    const one = project.start(PYTHON)
    await until('the program runs', () => one.text('stdout').includes('on'))
    const pid = await daemon()
    const host = home.processes().find((each) => cmdline(each).includes('host.py')) ?? 0
    kill(host)
    await one.ended
    await until('only the daemon is left', () => home.processes().every((each) => each === pid))
    project.edit('app.py', 'time.sleep(60)', 'pass')
    expect(await project.run(PYTHON)).toMatchObject({
      code: 0,
      stdout: 'a\nb\nc\non\n',
      report: { outcome: 'cold' },
    })
  })
})

/** Whether a process has a socket open. */
function connected(pid: number): boolean {
  try {
    const inodes = new Set(
      readFileSync('/proc/net/unix', 'utf8')
        .split('\n')
        .flatMap((line) => (line.includes(' 03 ') ? [line.trim().split(/\s+/)[6]] : [])),
    )
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return inodes.has(/socket:\[(\d+)\]/.exec(readlink(`/proc/${pid}/fd/${fd}`))?.[1])
      } catch {
        return false
      }
    })
  } catch {
    return false
  }
}

/** Names of a process and its ancestors. */
function parents(pid: number): string[] {
  const names: string[] = []
  for (let at = pid; at > 1;) {
    try {
      const stat = readFileSync(`/proc/${at}/stat`, 'latin1')
      names.push(stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')))
      at = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    } catch {
      break
    }
  }
  return names
}

function cmdline(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}
