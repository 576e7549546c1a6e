import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, root, until } from '../support/home.js'
import { Project, STEPS, WORK } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

const EXAMPLE = readFileSync(join(root, 'examples', 'breakpoints', 'example.py'), 'utf8')

describe('the example of docs/breakpoints.md', () => {
  it('stops in the fifth round, and goes on from there again and again with other bodies', async () => {
    const project = new Project(home, 'example')
    project.write('example.py', EXAMPLE)
    const command = ['python3', '-u', 'example.py']
    // One Enter at a time, as a person sends them: what the program has not asked for is not its own yet.
    const first = project.start(command, { flags: ['--break', 'example.py:inner#5'], input: null })
    for (let round = 0; round < 5; round++) {
      await until(`round ${round}`, () => first.text('stdout').includes(`round ${round}`))
      first.child.stdin.write('\n')
    }
    const stopped = await first.told
    first.child.stdin.end()
    expect(stopped).toMatchObject({
      code: 0,
      report: {
        outcome: 'stopped',
        exit: null,
        checkpoint: { before: 'inner', file: 'example.py', line: 6 },
      },
    })
    expect(stopped.stdout.endsWith('round 4, press Enter ')).toBe(true)
    const id = stopped.report.checkpoint?.id ?? ''

    for (const [edit, result] of [
      ['number * number', '[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]'],
      ['-number', '[0, 1, 4, 9, -4, -5, -6, -7, -8, -9]'],
      ['number + 100', '[0, 1, 4, 9, 104, 105, 106, 107, 108, 109]'],
    ] as const) {
      project.write('example.py', EXAMPLE.replace('number * number', edit))
      const resumed = await project.resume(['--hot', id], { input: '\n'.repeat(5) })
      expect(resumed).toMatchObject({ code: 0, report: { outcome: 'resumed', checkpoint: { id } } })
      expect(resumed.stdout).toBe(
        `${[5, 6, 7, 8, 9].map((n) => `round ${n}, press Enter `).join('')}${result}\n`,
      )
    }
    // What has run of `inner` would run differently: an exact resume says so, and names what would do.
    const refused = await project.resume([id])
    expect(refused.code).toBe(125)
    expect(refused.stderr).toMatch(/NOT_EXACT: example.py: inner\(\) was edited, and had run/)
    expect(refused.stderr).toMatch(/thaw resume c_\w+ would do: it goes on before/)
    expect(refused.stderr).not.toContain(`resume ${id} would do`)
  })

  it('does the same on a terminal', async () => {
    const project = new Project(home, 'terminal')
    project.write('example.py', EXAMPLE)
    const first = project.start(['python3', 'example.py'], {
      flags: ['-t', '--break', 'example.py:inner#5'],
      input: null,
    })
    for (let round = 0; round < 5; round++) {
      await until(`round ${round}`, () => first.text('stdout').includes(`round ${round}`))
      first.child.stdin.write('\n')
    }
    const stopped = await first.told
    expect(stopped.report.outcome).toBe('stopped')
    const id = stopped.report.checkpoint?.id ?? ''
    for (const [edit, last] of [
      ['-number', -9],
      ['number + 1', 10],
    ] as const) {
      project.write('example.py', EXAMPLE.replace('number * number', edit))
      const resumed = home.start(['resume', '-q', '-t', '--hot', id], { input: null })
      for (let round = 5; round < 10; round++) {
        await until(`round ${round}`, () => resumed.text('stdout').includes(`round ${round}`))
        resumed.child.stdin.write('\n')
      }
      const ended = await resumed.ended
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      expect(ended.stdout).toContain(`[0, 1, 4, 9, `)
      expect(ended.stdout).toContain(`${last}]\r\n`)
    }
  })
})

const COUNTED = `${WORK}
class Counter:
    def __init__(self):
        self.seen = []

    def take(self, n):
        self.seen.append(n)
        if n % 2:
            n += 10
        return n

def main():
    counter = Counter()
    total = 0
    for n in range(6):
        total += counter.take(n)
        print(n, total)
    work()
    return total

print("start")
total = main()
print("end", total)
`

describe('a place to stop at', () => {
  it.each([
    ['app.py:main', '', { before: 'main', line: 17 }],
    ['app.py:Counter.take', '', { before: 'Counter.take', line: 11 }],
    ['app.py:take#3', '0 0\n1 11\n', { before: 'Counter.take', line: 11 }],
    ['app.py:14', '0 0\n', { before: 'Counter.take', line: 14 }],
    ['app.py:15#2', '0 0\n', { before: 'Counter.take', line: 15 }],
    ['app.py:22#4', '0 0\n1 11\n2 13\n', { before: 'main', line: 22 }],
    ['app.py:28', '0 0\n1 11\n2 13\n3 26\n4 30\n5 45\n', { before: '<module>', line: 28 }],
    ['__main__:main', '', { before: 'main', line: 17 }],
  ])('%s', async (place, printed, checkpoint) => {
    const project = new Project(home, `place-${place.replace(/\W/g, '-')}`)
    project.write('app.py', COUNTED)
    const cold = project.plain(['python3', 'app.py'])
    const stopped = await project.run(['python3', 'app.py'], { flags: ['--break', place] })
    const line = project.read('app.py').split('\n')[checkpoint.line - 1]
    expect({ ...stopped, line }).toMatchObject({
      code: 0,
      stderr: '',
      stdout: `start\n${printed}`,
      report: { outcome: 'stopped', exit: null, checkpoint },
    })
    const rest = await project.resume(['-q', stopped.report.checkpoint?.id ?? ''])
    expect(stopped.stdout + rest.stdout).toBe(cold.stdout)
    expect(rest).toMatchObject({ code: 0, stderr: '', report: { outcome: 'resumed' } })
    // A plain run afterwards is a whole one.
    expect(await project.run(['python3', 'app.py'])).toMatchObject({ ...cold, stderr: '' })
  })

  it('also where a checkpoint has come to it already', async () => {
    const project = new Project(home, 'come-to')
    project.write(
      'app.py',
      'import time\ndef load():\n    time.sleep(0.4)\n    return 1\ndef show(n):\n    print(n)\n\nshow(load())\n',
    )
    expect((await project.run(['python3', 'app.py'])).report.outcome).toBe('cold')
    const stopped = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:show'] })
    expect(stopped).toMatchObject({
      stdout: '',
      report: { outcome: 'stopped', checkpoint: { before: 'show' } },
    })
  })

  it('in a package, by the name of its module', async () => {
    const project = new Project(home, 'module')
    project.write('pkg/__init__.py', '')
    project.write('pkg/tool.py', 'def step(n):\n    return n + 1\n')
    project.write('app.py', 'from pkg import tool\nprint(tool.step(1), tool.step(2))\n')
    const flags = ['--break', 'pkg.tool:step#2']
    const stopped = await project.run(['python3', 'app.py'], { flags })
    expect(stopped.report).toMatchObject({ outcome: 'stopped', checkpoint: { file: 'pkg/tool.py', line: 1 } })
    expect((await project.resume([stopped.report.checkpoint?.id ?? ''])).stdout).toBe('2 3\n')
  })

  it('in a test under pytest', async () => {
    const project = new Project(home, 'pytest')
    project.write('test_a.py', 'def test_a():\n    x = 1\n    y = 2\n    assert x + y == 3\n')
    const command = ['python3', '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
    const stopped = await project.run(command, { flags: ['--break', 'test_a.py:4'] })
    expect(stopped.report).toMatchObject({ outcome: 'stopped', checkpoint: { before: 'test_a', line: 4 } })
    const id = stopped.report.checkpoint?.id ?? ''
    expect(await project.resume([id])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1 passed') as string,
    })
    const entry = await project.run(command, { flags: ['--break', 'test_a.py:test_a'] })
    project.edit('test_a.py', 'x + y == 3', 'x + y == 4')
    const failed = await project.resume([entry.report.checkpoint?.id ?? ''])
    expect(failed.stdout).toContain('assert (1 + 2) == 4')
    expect(failed.code).toBe(1)
  })

  it('that does not exist is told before anything runs', async () => {
    const project = new Project(home, 'nowhere')
    project.write('app.py', 'def go():\n    print(1)\ngo()\n')
    project.write('broken.py', 'def go(:\n')
    for (const [place, message] of [
      ['app.py:went', 'PLACE_NOT_FOUND: app.py has no function went. It has go.'],
      ['app.py:99', 'PLACE_NOT_FOUND: app.py has no code at line 99'],
      ['other.py:go', 'PLACE_NOT_FOUND: other.py:go: there is no such file'],
      ['app.py', 'PLACE_NOT_FOUND: app.py is no place to stop at.'],
      ['app.py:go#0', 'PLACE_NOT_FOUND: app.py:go#0 is no place'],
      ['/usr/bin/x.py:go', 'PLACE_NOT_FOUND'],
      ['broken.py:go', 'SYNTAX_ERROR: '],
    ] as const) {
      const done = await home.run(['run', '--break', place, 'python3', 'app.py'], { cwd: project.directory })
      expect(done.stdout).toBe('')
      expect(done.stderr).toContain(message)
      expect(done.code).toBe(125)
    }
  })

  it('that is never reached, or where nothing can be copied, lets the program run to its end and says so', async () => {
    const project = new Project(home, 'never')
    project.write(
      'app.py',
      'import threading\nstop = threading.Event()\ndef go():\n    print(1)\ndef never():\n    pass\nt = threading.Thread(target=stop.wait)\nt.start()\ngo()\nstop.set()\n',
    )
    const never = await home.run(['run', '--break', 'app.py:never', 'python3', 'app.py'], {
      cwd: project.directory,
    })
    expect(never).toMatchObject({ code: 0, stdout: '1\n' })
    expect(never.stderr).toContain('it never came to where it was to stop')
    const busy = await home.run(['run', '--break', 'app.py:go', 'python3', 'app.py'], {
      cwd: project.directory,
    })
    expect(busy).toMatchObject({ code: 0, stdout: '1\n' })
    expect(busy.stderr).toContain('it could not stop: another thread is running')
  })
})

describe('a stopped program', () => {
  it('takes edits of what has not run, exactly', async () => {
    const project = new Project(home, 'exact')
    project.write('app.py', STEPS)
    const stopped = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:b'] })
    const id = stopped.report.checkpoint?.id ?? ''
    expect(stopped.stdout).toBe('a\n')
    project.edit('app.py', 'print("b")', 'print("B")')
    project.edit('app.py', '    c()\n', '    c()\n    print("d")\n')
    expect((await project.resume(['--exact', id])).stdout).toBe('B\nc\nd\n')
    project.edit('app.py', 'print("c")', 'print("c"')
    const broken = await project.resume([id])
    expect(broken).toMatchObject({ code: 125, stdout: '' })
    expect(broken.stderr).toMatch(/SYNTAX_ERROR: .*app.py:16: SyntaxError: '\(' was never closed/)
    project.edit('app.py', 'print("c"', 'print("C")')
    expect((await project.resume([id])).stdout).toBe('B\nC\nd\n')
    // The same edits in a plain run: as far as it had come is not run again.
    const run = await project.run(['python3', 'app.py'])
    expect(run).toMatchObject({ stdout: 'a\nB\nC\nd\n', report: { outcome: 'resumed' } })
  })

  it('stops again further on', async () => {
    const project = new Project(home, 'again')
    project.write('app.py', COUNTED)
    const stopped = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:take#2'] })
    let id = stopped.report.checkpoint?.id ?? ''
    let printed = stopped.stdout
    for (const place of ['app.py:take#2', 'app.py:15', 'app.py:15', 'app.py:21', 'app.py:28']) {
      const next = await project.resume(['--break', place, id])
      expect(next).toMatchObject({ code: 0, report: { outcome: 'stopped', exit: null } })
      expect(next.report.checkpoint?.id).not.toBe(id)
      id = next.report.checkpoint?.id ?? ''
      printed += next.stdout
    }
    expect(printed + (await project.resume([id])).stdout).toBe(project.plain(['python3', 'app.py']).stdout)
  })

  it('shows what it had printed, and leaves files as they were then', async () => {
    const project = new Project(home, 'files')
    project.write(
      'app.py',
      `${WORK}
out = open("out.txt", "w")
def go(n):
    out.write(f"{n}\\n")
    out.flush()
    print("wrote", n)
go(1)
go(2)
go(3)
`,
    )
    const stopped = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:go#3'] })
    expect(stopped.stdout).toBe('wrote 1\nwrote 2\n')
    const id = stopped.report.checkpoint?.id ?? ''
    for (let i = 0; i < 2; i++) {
      expect((await project.resume([id])).stdout).toBe('wrote 3\n')
      expect(project.read('out.txt')).toBe('1\n2\n3\n')
    }
    project.write('out.txt', 'mine\n')
    const refused = await project.resume([id])
    expect(refused.stderr).toMatch(/NOT_EXACT: .*out.txt, which the program had written, was changed since/)
    expect(project.read('out.txt')).toBe('mine\n')
  })

  it('goes on in several branches at once, each with its own outcome', async () => {
    const project = new Project(home, 'several')
    project.write(
      'app.py',
      'import os, sys\ndef go():\n    line = sys.stdin.readline()\n    print("got", line.strip(), flush=True)\n    print("half", end="", flush=True)\n    sys.exit(3 if os.getpid() % 2 else 0)\nprint("before")\ngo()\n',
    )
    const stopped = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:go'] })
    const id = stopped.report.checkpoint?.id ?? ''
    const all = await project.resume(['-n', '8', id], { input: 'word\n' })
    const branches = all.report.branches ?? []
    expect(branches.length).toBe(8)
    const lines = all.stdout.split('\n').filter((line) => line !== '')
    expect(lines.sort()).toEqual(
      Array.from({ length: 8 }, (_, i) => [`[${i + 1}] got word`, `[${i + 1}] half`])
        .flat()
        .sort(),
    )
    for (const { exit, stdout, stderr } of branches) {
      expect([0, 3]).toContain(exit?.code)
      expect(readFileSync(stdout, 'utf8')).toBe('got word\nhalf')
      expect(readFileSync(stderr, 'utf8')).toBe('')
    }
    expect(all.code).toBe(branches.some(({ exit }) => exit?.code === 3) ? 3 : 0)
    const tree = await home.run(['tree', all.report.run])
    expect(tree.stdout).toMatch(/stopped before go\(\) \(app.py:2\)/)
    expect(tree.stdout.match(/resumed exact, exit [03]/g)?.length).toBe(8)
  })

  it('cannot be resumed once it is gone', async () => {
    const project = new Project(home, 'gone')
    project.write('app.py', 'def go():\n    print(1)\ngo()\n')
    const stopped = await project.run(['python3', 'app.py'], { flags: ['--break', 'app.py:go'] })
    const id = stopped.report.checkpoint?.id ?? ''
    expect((await home.run(['resume', '-t', id])).stderr).toContain('was run without a terminal')
    expect((await home.run(['resume', '-n', '0', id])).stderr).toContain('USAGE: -n wants a number')
    expect((await home.run(['resume', '--hot', '--exact', id])).stderr).toContain('exclude each other')
    const near = (await home.run(['resume', `${id.slice(0, -1)}#`])).stderr
    expect(near).toContain(`CHECKPOINT_NOT_FOUND: There is no checkpoint ${id.slice(0, -1)}#. Nearest: ${id}`)
    const far = (await home.run(['resume', 'c_#'])).stderr
    expect(far).toMatch(
      /There is no checkpoint c_#\. The last ones of .*python3 app.py: c_.*`thaw tree` shows/,
    )
    expect(far).toContain(id)
    await home.run(['daemon', 'stop'])
    expect((await home.run(['resume', id])).stderr).toMatch(/CHECKPOINT_GONE: c_\w+ ended with its daemon/)
    expect((await home.run(['resume', 'c_nothing'])).stderr).toMatch(
      /CHECKPOINT_NOT_FOUND.*c_nothing\. `thaw tree`/,
    )
  })
})
