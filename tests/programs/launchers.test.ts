import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, root, until } from '../support/home.js'
import { Project, STEPS, WORK, type Told } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

const outcomes = (done: Told) => (done.report.below ?? []).map((entry) => entry.outcome)
const shown = ({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }) => ({
  code,
  stdout,
  stderr,
})
const quiet = '< /dev/null'

/** The launcher's output under thaw must be the plain one's. */
async function expectPlain(project: Project, script: string, env: Record<string, string> = {}) {
  const command = ['sh', '-c', script]
  const done = await project.run(command, { env })
  expect(shown(done)).toEqual(shown(project.plain(command, { env })))
  return done
}

describe('below a launcher', () => {
  it('programs are runs of their own: cold, replayed, resumed', async () => {
    const project = new Project(home, 'shell')
    project.write('app.py', STEPS)
    const script = `echo before; python3 app.py ${quiet}; echo after $?`
    expect(outcomes(await expectPlain(project, script))).toEqual(['cold'])
    expect(outcomes(await expectPlain(project, script))).toEqual(['replayed'])
    project.edit('app.py', 'print("c")', 'print("C")')
    const third = await expectPlain(project, script)
    expect(third.report).toMatchObject({ outcome: 'cold', engine: 'plain' })
    expect(third.report.below).toMatchObject([
      { outcome: 'resumed', command: [expect.stringContaining('python'), 'app.py'] },
    ])
  })

  it('the last line counts them', async () => {
    const project = new Project(home, 'summary')
    project.write('app.py', STEPS)
    const script = `python3 app.py ${quiet} && python3 app.py x ${quiet}`
    const done = await home.run(['run', 'sh', '-c', script], { cwd: project.directory })
    expect(done.stderr).toMatch(/^thaw: ran 2 Python commands below sh: 2 cold, [\d.]+ m?s\n$/)
  })

  it('a stdin that is at its end needs no redirection', async () => {
    const project = new Project(home, 'ended')
    project.write('app.py', STEPS)
    expect(outcomes(await project.run(['sh', '-c', 'sleep 0.3; python3 app.py'], { input: '' }))).toEqual([
      'cold',
    ])
  })

  it('make, with prerequisites by time', async () => {
    const project = new Project(home, 'make')
    project.write('gen.py', `${WORK}\nwork()\nopen("out", "w").write(open("in").read().upper())\n`)
    project.write('in', 'one\n')
    project.write(
      'Makefile',
      `final: out\n\tcat out > final; echo made\nout: in\n\tpython3 gen.py ${quiet}\n`,
    )
    const make = () => project.run(['make', '-s', 'final'])
    expect(outcomes(await make())).toEqual(['cold'])
    expect(project.read('final')).toBe('ONE\n')
    // Newer, but the same: the program's record will do, and its target counts as made now.
    project.write('in', 'one\n')
    const again = await make()
    expect(outcomes(again)).toEqual(['replayed'])
    expect(again.stdout).toBe('made\n')
    expect((await make()).stdout).not.toContain('made')
    project.write('in', 'two\n')
    await make()
    expect(project.read('final')).toBe('TWO\n')
  })

  it('the options of the launcher hold for them', async () => {
    const project = new Project(home, 'options')
    project.write('app.py', `import subprocess\nsubprocess.run(["true"])\n${STEPS}`)
    const command = ['sh', '-c', `python3 app.py ${quiet}`]
    await project.run(command)
    expect(outcomes(await project.run(command, { flags: ['--effects', 'keep'] }))).toEqual(['replayed'])
    expect(outcomes(await project.run(command, { flags: ['--fresh'] }))).toEqual(['cold'])
    const off = await project.run(command, { env: { THAW_LAUNCHERS: 'false' } })
    expect(off.report.below).toBeUndefined()
  })

  it('a virtual environment is the one that was meant', async () => {
    const project = new Project(home, 'venv')
    project.plain(['python3', '-m', 'venv', '--without-pip', 'env'])
    project.write('app.py', `import sys\nprint(sys.prefix, sys.prefix != sys.base_prefix)\n${STEPS}`)
    const script = `. env/bin/activate; python app.py ${quiet}; (cd env && python ../app.py ${quiet})`
    expect(outcomes(await expectPlain(project, script))).toEqual(['cold', 'cold'])
    project.edit('app.py', 'print("c")', 'print("C")')
    expect(outcomes(await expectPlain(project, script))).toEqual(['resumed', 'resumed'])
  })
})

describe('a program below a launcher', () => {
  const DUMP = 'import os, sys\nprint(sorted(os.environ.items()), sys.path)\n'

  it.each([
    ['no PYTHONPATH', '', {}],
    ['one', '', { PYTHONPATH: '/a:/b' }],
    ['an empty one', '', { PYTHONPATH: '' }],
    ['one with an empty entry', '', { PYTHONPATH: '/a:' }],
    ['one of the script', 'PYTHONPATH=src:$PYTHONPATH', {}],
    ['both', 'PYTHONPATH=src:$PYTHONPATH:more', { PYTHONPATH: '/a' }],
  ])('sees the environment of a plain run: %s', async (name, prefix, env: Record<string, string>) => {
    const project = new Project(home, `environment-${name.replaceAll(/\W+/g, '-')}`)
    project.write('dump.py', DUMP)
    const taken = await expectPlain(project, `${prefix} python3 dump.py ${quiet}`, env)
    expect(outcomes(taken)).toEqual(['cold'])
    // Piped to, it is not taken over, and must not see anything either.
    await expectPlain(
      project,
      `echo | ${prefix} python3 dump.py; ${prefix} python3 -c '${DUMP.replaceAll('\n', ';').slice(0, -1)}'`,
      env,
    )
  })

  it('ends as it would: exit code, signal, traceback', async () => {
    const project = new Project(home, 'ends')
    project.write('code.py', 'import sys\nprint("x")\nsys.exit(7)\n')
    project.write('killed.py', 'import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n')
    project.write('raises.py', 'def f():\n    raise ValueError("no")\nf()\n')
    for (const name of ['code', 'killed', 'raises']) {
      const done = await expectPlain(project, `python3 ${name}.py ${quiet}; echo $?`)
      expect(outcomes(done)).toEqual(['cold'])
    }
    // The shell itself tells of the signal, as it saw it.
    const command = ['bash', '-c', `python3 killed.py ${quiet}; true`]
    const told = await project.run(command)
    expect(told.stderr.replace(/\d+ Killed/, 'Killed')).toBe(
      project.plain(command).stderr.replace(/\d+ Killed/, 'Killed'),
    )
  })

  it('writes to pipes and files', async () => {
    const project = new Project(home, 'pipes')
    project.write('app.py', STEPS)
    project.write('endless.py', 'while True:\n    print("y" * 100)\n')
    await expectPlain(
      project,
      `python3 app.py ${quiet} > out.txt; python3 app.py ${quiet} | tr a-z A-Z; cat out.txt`,
    )
    await expectPlain(project, `python3 endless.py ${quiet} 2> /dev/null | head -n 2`)
    await expectPlain(project, `python3 -c 'print(open("/dev/stdin").read())' < app.py`)
  })

  it('leaves to the script what is on stdin, and has what is meant for it', async () => {
    const project = new Project(home, 'stdin')
    project.write('deaf.py', 'import sys\nprint("got", sys.argv[1])\n')
    project.write('reads.py', 'import sys\nprint(sys.stdin.read().upper())\n')
    const loop = await expectPlain(
      project,
      'printf "1\\n2\\n3\\n" | while read n; do python3 deaf.py $n; done',
    )
    expect(outcomes(loop)).toEqual([null, null, 'cold'])
    expect(loop.report.below?.[0]?.reason).toMatch(/stdin/)
    await expectPlain(project, 'echo word | python3 reads.py; python3 reads.py < deaf.py')
  })

  it('is left alone where a run of its own would differ', async () => {
    const project = new Project(home, 'alone')
    project.write(
      'app.py',
      'import os, sys\nprint(sys.argv, open(sys.argv[1]).read() if sys.argv[1:] else "")\n',
    )
    project.write(
      'limits.py',
      'import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_AS))\n',
    )
    project.write('fds.py', 'import os\nos.write(3, b"three\\n")\n')
    project.write('ignored.py', 'import signal\nprint(signal.getsignal(signal.SIGHUP))\n')
    const cases: [string, RegExp][] = [
      [`ulimit -c 5; python3 limits.py ${quiet}`, /limits/],
      [`ulimit -v 200000; python3 limits.py ${quiet}`, /limits/],
      [`exec 3>&1; python3 fds.py ${quiet}`, /descriptor/],
      [`trap '' HUP; python3 ignored.py ${quiet}`, /signals/],
    ]
    for (const [script, reason] of cases) {
      const done = await expectPlain(project, script)
      expect(done.report.below).toMatchObject([{ outcome: null, reason: expect.stringMatching(reason) }])
    }
    const substitution = ['bash', '-c', `python3 app.py <(echo inner) ${quiet} | sed 's:/dev/fd/[0-9]*:FD:'`]
    expect(shown(await project.run(substitution))).toEqual(shown(project.plain(substitution)))
  })

  it('is left alone where it is a helper', async () => {
    const project = new Project(home, 'helpers')
    project.write('app.py', 'print("x")\n')
    const script = [
      `python3 -c 'print(1)' ${quiet}`,
      `python3 -V ${quiet}`,
      `python3 -m ensurepip --version ${quiet}`,
      `python3 -I app.py ${quiet}`,
      `python3 - ${quiet}`,
    ].join('; ')
    const done = await expectPlain(project, script)
    expect(done.report.below).toBeUndefined()
  })

  it('asks the person at the terminal', async () => {
    const project = new Project(home, 'typed')
    project.write('ask.py', 'print("name?", flush=True)\nprint("hello", input())\n')
    // A terminal in front of the command that is given; answers when it is asked.
    project.write(
      'terminal.py',
      `import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b""
try:
    while chunk := os.read(fd, 4096):
        if b"name?" in (shown := shown + chunk) and b"bob" not in shown:
            os.write(fd, b"bob\\n")
except OSError:
    pass
sys.stdout.buffer.write(shown)
`,
    )
    const report = project.path('report.json')
    const thaw = [process.execPath, home.thaw, 'run', '-q', '--report', report, 'sh', '-c', 'python3 ask.py']
    expect(project.plain(['python3', 'terminal.py', ...thaw]).stdout).toMatch(/hello bob/)
    expect(JSON.parse(project.read('report.json'))).toMatchObject({ below: [{ outcome: 'cold' }] })
  })

  it('may be a thaw run of the script itself', async () => {
    const project = new Project(home, 'explicit')
    project.write('dump.py', DUMP)
    const script = `"${process.execPath}" "${home.thaw}" run -q python3 dump.py ${quiet}`
    const env = { PYTHONPATH: '/a' }
    const done = await project.run(['sh', '-c', script], { env })
    expect(done.stdout).toContain("('PYTHONPATH', '/a')")
    expect(done.stdout).not.toMatch(/THAW_LAUNCHER|python\/launcher/)
    expect(done.report.below).toBeUndefined()
  })

  it('has children that are its own', async () => {
    const project = new Project(home, 'children')
    project.write(
      'parent.py',
      'import subprocess, sys\nsubprocess.run([sys.executable, "child.py"], stdin=subprocess.DEVNULL)\n',
    )
    project.write('child.py', 'import os\nprint([k for k in os.environ if "LAUNCHER" in k])\n')
    expect(outcomes(await expectPlain(project, `python3 parent.py ${quiet}`))).toEqual(['cold'])
  })

  it('has the sitecustomize that was there', async () => {
    const project = new Project(home, 'chained')
    const dump = 'import sys; print("sitecustomize" in sys.modules, [p for p in sys.path if "launcher" in p])'
    project.write('app.py', `${dump}\n`)
    project.write('site/sitecustomize.py', 'print("customized", __file__)\n')
    project.write('broken/sitecustomize.py', 'import nowhere\n')
    for (const name of ['site', 'broken', 'absent']) {
      const env = { PYTHONPATH: project.path(name) }
      await expectPlain(project, `python3 -c '${dump}' ${quiet}`, env)
      // Taken over, it runs as it does below thaw without a launcher.
      const direct = await project.run(['python3', 'app.py'], { env })
      const below = await project.run(['sh', '-c', `python3 app.py ${quiet}`], { env })
      expect(below.stdout.replace(/^(customized .*\n)(?=customized)/, '')).toBe(direct.stdout)
    }
  })

  it('gets Ctrl-C, and its launcher sees that', async () => {
    const project = new Project(home, 'interrupted')
    project.write(
      'app.py',
      'import time\nprint("on", flush=True)\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print("caught")\n    raise SystemExit(9)\n',
    )
    const one = home.start(['run', '-q', 'sh', '-c', `trap : INT; python3 app.py ${quiet}; echo $?`], {
      cwd: project.directory,
    })
    await until('the program runs', () => one.text('stdout').includes('on'))
    one.child.kill('SIGINT')
    expect((await one.ended).stdout).toBe('on\ncaught\n9\n')
  })

  it('runs plainly where no thaw answers, or none that helps', async () => {
    const project = new Project(home, 'nobody')
    project.write(
      'app.py',
      'import os, resource, sys\nprint(sorted(os.environ), sys.path, resource.getrlimit(resource.RLIMIT_NOFILE))\nsys.exit(3)\n',
    )
    const agents = join(root, 'agents', 'python', 'launcher')
    const socket = join(home.directory, 'deaf.sock')
    const deaf = createServer((line) => line.destroy()).listen(socket)
    await once(deaf, 'listening')
    const python = async (env: Record<string, string>) => {
      const child = spawn('python3', ['app.py'], {
        cwd: project.directory,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const parts = await Promise.all([child.stdout.toArray(), child.stderr.toArray(), once(child, 'close')])
      return parts.map((part) => part.join())
    }
    const plain = await python(home.env)
    for (const path of [socket, '/no/such/socket']) {
      const pass = ['-', 'token', path, String(process.pid), '0', 'cpython 3.11', process.execPath, home.thaw]
      const env = {
        ...home.env,
        PYTHONPATH: agents,
        THAW_LAUNCHER: pass.map((field) => encodeURIComponent(field)).join('&'),
      }
      expect(await python(env)).toEqual(plain)
    }
    deaf.close()
  })
})

const found = (name: string) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0

it.skipIf(!found('nox'))('nox (skipped where it is not installed)', async () => {
  const project = new Project(home, 'nox')
  project.write('app.py', STEPS)
  project.write(
    'noxfile.py',
    'import nox\n@nox.session(venv_backend="none")\ndef steps(session):\n    session.run("python3", "app.py", external=True)\n',
  )
  const command = ['nox', '-s', 'steps']
  const first = await project.run(command)
  expect(first).toMatchObject({ code: 0, report: { engine: 'plain' } })
  expect(outcomes(first)).toEqual(['cold'])
  expect(outcomes(await project.run(command))).toEqual(['replayed'])
})

it.skipIf(!found('tox'))('tox (skipped where it is not installed)', async () => {
  const project = new Project(home, 'tox')
  project.write('app.py', STEPS)
  project.write(
    'tox.ini',
    '[tox]\nskipsdist = true\nenvlist = one\n[testenv]\nskip_install = true\npassenv =\n  PYTHONPATH\n  THAW_LAUNCHER\nsetenv = PYTHONHASHSEED=0\ncommands = python app.py\n',
  )
  const command = ['tox', '-q']
  const first = await project.run(command)
  expect(first).toMatchObject({ code: 0, report: { engine: 'plain' } })
  expect(first.stdout).toContain('a\nb\nc\n')
  expect(outcomes(first)).toEqual(['cold'])
  expect(outcomes(await project.run(command))).toEqual(['replayed'])
})

it.skipIf(!found('uv'))('uv (skipped where it is not installed)', async () => {
  const project = new Project(home, 'uv')
  project.write('app.py', STEPS)
  const command = ['uv', 'run', '--no-project', '--offline', 'python', 'app.py']
  expect(outcomes(await project.run(command))).toEqual(['cold'])
  expect(outcomes(await project.run(command))).toEqual(['replayed'])
})
