/** What goes otherwise than planned in `thaw run --engine vm`: interrupts, full disks, files that the user changes meanwhile. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../../packages/thaw/src/system/index.js'
import { Home, until } from '../../support/home.js'
import { Project } from '../../support/project.js'
import { processesWith, whyNot } from '../../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

const MINUTE = 60_000
const VM = ['--engine', 'vm']

describe.skipIf(reason !== null)('a run in a machine', { timeout: 5 * MINUTE }, () => {
  let home: Home
  beforeAll(() => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
  })
  afterAll(async () => {
    const { directory } = home
    await home[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  }, MINUTE)

  it('is interrupted by Ctrl-C, and what it had changed is carried back', async () => {
    const project = new Project(home, 'interrupted')
    const script = 'echo begun > made.txt; echo ready; exec sleep 1000'
    const live = project.start(['sh', '-c', script], { flags: VM, input: null })
    await until('it runs', () => live.text('stdout').includes('ready'), 120)
    live.child.kill('SIGINT')
    const told = await live.told
    expect(told.report.exit).toEqual({ code: null, signal: 'SIGINT' })
    expect([told.code, told.signal]).toContainEqual(told.signal === null ? 130 : 'SIGINT')
    expect(project.files()).toEqual({ 'made.txt': 'begun\n' })
  })

  it('leaves a file as the user has changed it meanwhile, and names it', async () => {
    const project = new Project(home, 'meanwhile')
    project.write('shared.txt', 'old')
    project.write('other.txt', 'old')
    const script = 'echo ready; read line; echo machine > shared.txt; echo machine > other.txt'
    const live = project.start(['sh', '-c', script], { flags: VM, input: null })
    await until('it runs', () => live.text('stdout').includes('ready'), 120)
    project.write('shared.txt', 'mine')
    live.child.stdin.end('go\n')
    const { report } = await live.told
    expect(project.files()).toEqual({ 'shared.txt': 'mine', 'other.txt': 'machine\n' })
    expect(report.reason).toContain('changed here meanwhile, and left so: shared.txt')
  })

  it('meets the end of its own disk as any program does, and brings back what there was room for', async () => {
    const project = new Project(home, 'full')
    // Of a small file system in it: eight gigabytes would take minutes under emulation.
    const script =
      'mount -t tmpfs -o size=1m small /mnt; head -c 2000000 /dev/zero > /mnt/big; echo "code $?" > result.txt'
    const told = await project.start(['sh', '-c', script], { flags: VM }).told
    expect(told.stderr).toMatch(/No space left on device/)
    expect(project.read('result.txt')).toBe('code 1\n')
  })

  it('stops when it listens, and goes on from there', async () => {
    const project = new Project(home, 'listens')
    const flags = [...VM, '--break-listen', '8123']
    project.write(
      'slow.py',
      'import socket, time\nserver = socket.create_server(("127.0.0.1", 8123))\ntime.sleep(3)\nprint("listening")\n',
    )
    const stopped = await project.start(['python3', 'slow.py'], { flags }).told
    expect(stopped, stopped.stderr).toMatchObject({ code: 0, stdout: '', report: { outcome: 'stopped' } })
    const told = await project.resume([stopped.report.checkpoint?.id ?? ''])
    expect(told.stdout, told.stderr).toBe('listening\n')
  })

  it('has a terminal', async () => {
    const project = new Project(home, 'terminal')
    const { stdout } = await home.typed(
      `cd ${project.directory}; script -qec '"${process.execPath}" "$THAW" run -q --engine vm -t sh -c "test -t 0 && test -t 1 && tty"' /dev/null`.replace(
        '"$THAW"',
        home.thaw,
      ),
    )
    expect(stdout).toContain('/dev/pts/')
  })
})
