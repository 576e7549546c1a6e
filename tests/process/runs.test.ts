import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CheckpointNode, RunSummary } from '@thaw/protocol'
import { Home, until } from '../support/home.js'
import { Project } from '../support/project.js'
import { provider, whyNot } from '../support/process.js'
import { findPaths } from '../../packages/thaw/src/system/index.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/process/runs.test.ts is skipped: ${why}`)
void provider

let home: Home
beforeAll(() => {
  // What was fetched is shared by every home.
  home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
})
afterAll(() => home[Symbol.asyncDispose]())

const COUNT = 'for i in 1 2 3 4 5 6; do echo "line $i"; sleep 0.15; done\n'
const images = (run: string) => {
  const directory = join(home.directory, 'home', 'state', 'runs', run, 'images')
  return existsSync(directory) ? readdirSync(directory) : []
}

describe.skipIf(why !== null)('a program of any language', () => {
  it('stops where it prints something, and goes on from there as often as wanted', async () => {
    const project = new Project(home, 'output')
    project.write('count.sh', COUNT)
    const stopped = await project.run(['sh', 'count.sh'], { flags: ['--break-output', 'line 3$'] })
    expect(stopped).toMatchObject({ code: 0, stdout: 'line 1\nline 2\nline 3\n' })
    expect(stopped.report).toMatchObject({ outcome: 'stopped', engine: 'process', exit: null })
    const id = stopped.report.checkpoint?.id ?? ''
    for (let i = 0; i < 3; i++) {
      const resumed = await project.resume([id])
      expect(resumed).toMatchObject({ code: 0, stdout: 'line 4\nline 5\nline 6\n' })
      expect(resumed.report).toMatchObject({ outcome: 'resumed', checkpoint: { id } })
      expect(resumed.stderr).toMatch(/^thaw: resumed in a sandbox at [\d.]+ m?s, /)
    }
    const several = await project.resume(['-n', '3', id])
    expect(several.stdout.split('\n').sort().slice(1)).toEqual(
      ['4', '5', '6'].flatMap((line) => ['1', '2', '3'].map((n) => `[${n}] line ${line}`)).sort(),
    )
    expect(several.report.branches).toHaveLength(3)
    const again = await project.resume(['--break-output', 'line 5', id])
    expect(again).toMatchObject({ code: 0, stdout: 'line 4\nline 5\n' })
    const last = await project.resume(['last'])
    expect(last.stdout).toBe('line 6\n')
  })

  it('goes on after its daemon was killed', async () => {
    const project = new Project(home, 'outlasts')
    project.write('count.sh', COUNT)
    const { report } = await project.run(['sh', 'count.sh'], { flags: ['--break-output', 'line 4'] })
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    await home.run(['gc'])
    const runs = await home.json<RunSummary[]>(['ls'])
    expect(runs.find(({ id }) => id === report.run)).toMatchObject({ checkpoints: 1 })
    const resumed = await project.resume([report.checkpoint?.id ?? ''])
    expect(resumed).toMatchObject({ code: 0, stdout: 'line 5\nline 6\n' })
  })

  it('is copied by hand while it runs, and what is given up leaves nothing', async () => {
    const project = new Project(home, 'by-hand')
    project.write('count.sh', COUNT.replace('0.15', '0.7'))
    const running = project.start(['sh', 'count.sh'], { flags: ['--engine', 'process'] })
    await until('it is under way', () => running.text('stdout').includes('line 2'))
    const run = (await home.json<RunSummary[]>(['ls'])).find(({ state }) => state === 'live')
    const node = await home.json<CheckpointNode>(['checkpoint', run?.id ?? '', '--name', 'early'])
    expect(node).toMatchObject({ kind: 'asked', name: 'early', before: { unit: null } })
    expect((await running.told).stdout).toBe('line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n')
    const resumed = await project.resume(['early'])
    expect(resumed.stdout).toMatch(/^(line \d\n)*line 6\n$/)
    expect(images(run?.id ?? '')).toHaveLength(1)
    await home.run(['rm', '--cascade', node.id])
    await until('the image is gone', () => images(run?.id ?? '').length === 0)
  })

  it('is copied by time', async () => {
    const project = new Project(home, 'by-time')
    project.write('count.sh', COUNT)
    const { report, stdout } = await project.run(['sh', 'count.sh'], { flags: ['--every', '0.1s'] })
    expect(stdout).toContain('line 6')
    const { checkpoints } = await project.tree(report.run)
    // The time of the next is counted from the end of the one before, which a busy machine may be long about.
    expect(checkpoints.length).toBeGreaterThan(0)
    const { stdout: rest } = await project.resume([checkpoints.at(-1)?.id ?? ''])
    expect(stdout.endsWith(rest)).toBe(true)
  })

  it('stops when it listens, and every copy has that port for itself', async () => {
    const project = new Project(home, 'listens')
    project.write(
      'server.py',
      'import socket, threading, urllib.request\n' +
        'from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer\n' +
        'class Handler(BaseHTTPRequestHandler):\n' +
        '    def do_GET(self):\n' +
        '        self.send_response(200); self.end_headers(); self.wfile.write(b"served")\n' +
        '    def log_message(self, *args): pass\n' +
        'server = ThreadingHTTPServer(("127.0.0.1", 18765), Handler)\n' +
        'threading.Thread(target=server.serve_forever, daemon=True).start()\n' +
        'import time; time.sleep(0.5)\n' +
        'print(urllib.request.urlopen("http://127.0.0.1:18765/").read().decode())\n',
    )
    const flags = ['--net', 'private', '--break-listen', '18765']
    const stopped = await project.run(['python3', 'server.py'], { flags })
    expect(stopped.report.outcome).toBe('stopped')
    const several = await project.resume(['-n', '3', stopped.report.checkpoint?.id ?? ''])
    expect(several.stdout.split('\n').sort()).toEqual(['', '[1] served', '[2] served', '[3] served'])
  })

  it('says why it did not stop, and what it has no use for', async () => {
    const project = new Project(home, 'misses')
    const missed = await project.run(['echo', 'one'], { flags: ['--break-output', 'two'] })
    expect(missed).toMatchObject({ code: 0, stdout: 'one\n' })
    expect(missed.report.reason).toContain('it never came to where it was to stop')
    const wrong = await home.run(['run', '--break-output', '(', 'true'])
    expect(wrong).toMatchObject({ code: 125, stderr: expect.stringContaining('INVALID_REQUEST') as string })
    const failed = await project.run(['sh', '-c', 'kill -SEGV $$'], { flags: ['--engine', 'process'] })
    expect(failed.report.exit).toEqual({ code: null, signal: 'SIGSEGV' })
    expect(failed.code).toBe(139)
    const absent = await home.run(['run', '--engine', 'process', 'no-such-program-here'])
    expect(absent.code).toBe(127)
  })

  it('stops at the first thing that is printed, however early', async () => {
    const project = new Project(home, 'early')
    for (let i = 0; i < 6; i++) {
      const command = ['sh', '-c', `echo now; sleep 0.4; echo after ${i}`]
      const { report, stdout } = await project.run(command, { flags: ['--break-output', 'now'] })
      expect(report.outcome).toBe('stopped')
      expect(stdout).toBe('now\n')
    }
  })

  it('refuses what has no meaning for it, and to go on from another program than the last', async () => {
    const project = new Project(home, 'refused')
    const { report } = await project.run(['sh', '-c', 'echo now; sleep 0.3'], {
      flags: ['--break-output', 'now'],
    })
    const hot = await project.resume(['--hot', report.checkpoint?.id ?? ''])
    expect(hot).toMatchObject({ code: 125, stderr: expect.stringContaining('UNSUPPORTED') as string })
    const place = await home.run(['run', '--engine', 'process', '--break', 'a.py:1', 'true'])
    expect(place).toMatchObject({ code: 125, stderr: expect.stringContaining('UNSUPPORTED') as string })
    await project.run(['true'])
    const last = await project.resume(['last'])
    expect(last.stderr).toContain(`Another one has: thaw resume ${report.checkpoint?.id}`)
  })

  it('takes what comes on stdin where it stood', async () => {
    const project = new Project(home, 'stdin')
    const command = ['sh', '-c', 'read a; echo "got $a"; sleep 0.5; read b; echo "and $b"']
    const stopped = await project.run(command, { flags: ['--break-output', 'got'], input: 'one\ntwo\n' })
    expect(stopped.stdout).toBe('got one\n')
    const id = stopped.report.checkpoint?.id ?? ''
    // What it had not taken yet is its own, what comes now follows it.
    const resumed = await project.resume([id], { input: 'three\n' })
    expect(resumed.stdout).toBe('and two\n')
  })
})
