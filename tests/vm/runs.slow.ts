/** `thaw run --engine vm`: programs of a project in machines of their own. */
import { existsSync, lstatSync, readlinkSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { Project } from '../support/project.js'
import { processesWith, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

const MINUTE = 60_000
const FLAGS = { flags: ['--engine', 'vm'] }
const PYTHON = ['python3', '-u', 'app.py']

/** New, changed and removed files, links, modes; both streams, stdin, an exit code. */
const CHANGES = `
import os, sys
print(os.uname().nodename, sys.stdin.read().upper(), os.path.exists("/work"), flush=True)
print("to stderr", file=sys.stderr)
os.makedirs("made/deep")
open("made/deep/new.txt", "w").write("new")
open("kept.txt", "a").write(" and more")
os.remove("gone.txt")
os.remove("old/inside.txt")
os.rmdir("old")
os.symlink("kept.txt", "link")
os.chmod("tool.sh", 0o755)
sys.exit(7)
`

/** Processes that run machines of a home. */
function machines({ directory }: Home): number[] {
  const all = new Set(processesWith('qemu-system'))
  return processesWith(directory).filter((pid) => all.has(pid))
}

describe.skipIf(reason !== null)('a run in a machine', { timeout: 10 * MINUTE }, () => {
  let home: Home

  beforeAll(() => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
  })
  afterAll(async () => {
    const { directory } = home
    await home[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  }, MINUTE)

  it('carries the project in and its changes back, and ends as its program does', async () => {
    const project = new Project(home, 'changes')
    project.write('app.py', CHANGES)
    project.write('kept.txt', 'kept')
    project.write('gone.txt', 'gone')
    project.write('old/inside.txt', 'inside')
    project.write('tool.sh', '#!/bin/sh\n', 0o644)
    const before = statSync(project.path('app.py')).mtimeMs
    const told = await project.start(PYTHON, { ...FLAGS, input: 'typed' }).told
    expect(told, told.stderr).toMatchObject({
      code: 7,
      stdout: 'thaw TYPED False\n',
      stderr: 'to stderr\n',
      report: { outcome: 'cold', engine: 'vm', exit: { code: 7, signal: null } },
    })
    expect(project.files()).toEqual({
      'app.py': CHANGES,
      'kept.txt': 'kept and more',
      'made/deep/new.txt': 'new',
      'tool.sh': '#!/bin/sh\n',
    })
    expect(readlinkSync(project.path('link'))).toBe('kept.txt')
    expect(existsSync(project.path('old'))).toBe(false)
    expect(lstatSync(project.path('tool.sh')).mode & 0o777).toBe(0o755)
    expect(statSync(project.path('app.py')).mtimeMs).toBe(before)
  })

  it('runs Node, in a project that holds nothing', async () => {
    const project = new Project(home, 'empty')
    const script = 'require("fs").writeFileSync("made.txt", process.version.split(".")[0])'
    const told = await project.start(['node', '-e', script], FLAGS).told
    expect(told.code, told.stderr).toBe(0)
    expect(project.files()).toEqual({ 'made.txt': 'v20' })
  })

  it('hands over much output, and tells a signal', async () => {
    const project = new Project(home, 'much')
    project.write(
      'app.py',
      'import os, sys\nsys.stdout.write("x" * 3_000_000)\nsys.stdout.flush()\nos.kill(os.getpid(), 9)\n',
    )
    const { stdout, report } = await project.start(PYTHON, FLAGS).told
    expect(stdout.length).toBe(3_000_000)
    expect(report.exit).toEqual({ code: null, signal: 'SIGKILL' })
  })

  it('has the size that was asked for, and the umask, nice value and limits of its caller', async () => {
    const project = new Project(home, 'bounds')
    project.write(
      'app.py',
      [
        'import os, resource',
        'open("made.txt", "w").close()',
        'pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20',
        'print(os.cpu_count(), 150 < pages < 300, os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE))',
        'print(resource.getrlimit(resource.RLIMIT_CORE), oct(os.stat("made.txt").st_mode & 0o777))',
      ].join('\n'),
    )
    const { stdout } = await home.typed(
      `umask 027; ulimit -c 0; ulimit -n 321; cd ${project.directory}
       nice -n 5 "${process.execPath}" "$THAW" run -q --engine vm --memory 300MB --cpus 2 ${PYTHON.join(' ')}`,
    )
    expect(stdout).toBe('2 True 5 (321, 321)\n(0, 0) 0o640\n')
    expect(lstatSync(project.path('made.txt')).mode & 0o777).toBe(0o640)
    for (const engine of ['process', 'fork']) {
      const flags = ['--engine', engine, '--memory', '1GB']
      const refused = await home.run(['run', ...flags, 'true'], { cwd: project.directory })
      expect(refused.stderr).toMatch(/UNSUPPORTED: Only machines have a size/)
    }
    const little = await home.run(['run', '--engine', 'vm', '--memory', '1MB', 'true'])
    expect(little.stderr).toMatch(/INVALID_REQUEST.*at least 64MiB/)
  })

  it('is a typed error where the machine reboots, or the program cannot be started', async () => {
    const project = new Project(home, 'dies')
    project.write(
      'app.py',
      'open("lost.txt", "w").write("lost")\nopen("/proc/sysrq-trigger", "w").write("b")\n',
    )
    const died = await home.run(['run', '--engine', 'vm', ...PYTHON], { cwd: project.directory })
    expect(died.code).toBe(125)
    expect(died.stderr).toMatch(/ENGINE_FAILED: The machine ended before its program did: it reset itself/)
    expect(existsSync(project.path('lost.txt'))).toBe(false)
    const none = await home.run(['run', '--engine', 'vm', 'no-such-program'], { cwd: project.directory })
    expect(none.code).toBe(127)
    const net = await home.run(['run', '--engine', 'vm', '--net', 'private+out', 'true'], {
      cwd: project.directory,
    })
    expect(net.stderr).toMatch(/UNSUPPORTED/)
  })

  it('stops with a copy, and goes on from it as often as wanted with the files as they are now', async () => {
    const project = new Project(home, 'stops')
    project.write(
      'app.py',
      [
        'import time',
        'open("log.txt", "a").write("one ")',
        'print("ready", flush=True)',
        'while True:',
        '    time.sleep(0.05)',
        '    word = open("word.txt").read()',
        '    if word != "wait": break',
        'print(word, open("log.txt").read(), flush=True)',
        'open("log.txt", "a").write("two")',
      ].join('\n'),
    )
    project.write('word.txt', 'wait')
    const stopped = await project.start(PYTHON, { flags: [...FLAGS.flags, '--break-output', 'ready'] }).told
    expect(stopped, stopped.stderr).toMatchObject({
      code: 0,
      stdout: 'ready\n',
      report: { outcome: 'stopped' },
    })
    expect(project.read('log.txt')).toBe('one ')
    expect(machines(home)).toEqual([])
    const id = stopped.report.checkpoint?.id ?? ''
    project.write('word.txt', 'first')
    const first = await project.resume([id])
    expect(first, first.stderr).toMatchObject({ code: 0, stdout: 'first one \n', report: { engine: 'vm' } })
    expect(project.read('log.txt')).toBe('one two')
    // The copy has the file as it was; what thaw carried back is no edit.
    project.write('word.txt', 'second')
    expect((await project.resume([id])).stdout).toBe('second one \n')
    expect((await home.run(['gc'])).code).toBe(0)
    project.write('log.txt', 'mine')
    unlinkSync(project.path('word.txt'))
    project.write('word.txt', 'third')
    const many = await project.resume(['-n', '2', id])
    expect(many.stdout.match(/third mine/g)).toHaveLength(2)
    expect(project.read('log.txt')).toBe('mine')
  })

  it('is copied while it runs, when it is asked for and by time', async () => {
    const project = new Project(home, 'copied')
    project.write('loop.sh', 'for i in $(seq 60); do echo $i; sleep 0.2; done\n')
    const flags = [...FLAGS.flags, '--every', '4s']
    const live = project.start(['sh', 'loop.sh'], { flags })
    await until('it runs', () => live.text('stdout').includes('\n5\n'), 60)
    const runs = await home.json<{ id: string; command: string[] }[]>(['ls'])
    const run = runs.find(({ command }) => command.includes('loop.sh'))?.id ?? ''
    const asked = await home.run(['checkpoint', run, '--name', 'loop'])
    expect(asked.code, asked.stderr).toBe(0)
    const whole = await live.told
    const lines = (text: string) => text.trim().split('\n')
    expect(lines(whole.stdout)).toEqual(Array.from({ length: 60 }, (_, at) => String(at + 1)))
    const { checkpoints } = await project.tree(run)
    expect(checkpoints.filter(({ kind }) => kind === 'moment').length).toBeGreaterThan(0)
    const again = lines((await project.resume(['loop'])).stdout)
    expect(again.length).toBeLessThan(56)
    expect(again).toEqual(lines(whole.stdout).slice(-again.length))
  })

  it('leaves no machine when the daemon is killed, and its copies stay', async () => {
    const project = new Project(home, 'killed')
    project.write('app.py', 'import time\nprint("ready", flush=True)\nwhile True: time.sleep(1)\n')
    const stopped = await project.start(PYTHON, { flags: [...FLAGS.flags, '--break-output', 'ready'] }).told
    const id = stopped.report.checkpoint?.id ?? ''
    const live = home.start(['resume', id], { cwd: project.directory })
    while (machines(home).length === 0) await new Promise((done) => setTimeout(done, 100))
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    await live.ended
    const until = Date.now() + 10_000
    while (Date.now() < until && machines(home).length > 0) {
      await new Promise((done) => setTimeout(done, 100))
    }
    expect(machines(home)).toEqual([])
    project.write('app.py', 'print("edited")\n')
    const tree = await home.run(['tree', stopped.report.run])
    expect(tree.stdout).toContain('parked')
  })
})
