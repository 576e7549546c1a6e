import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { findInterpreter, passedOver, VERSIONS } from '../support/interpreters.js'
import { Project, STEPS } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

/** Runs, edits and runs again: the second time it must go on from the middle, and print what it prints without thaw. */
async function expectResumed(
  project: Project,
  file: string,
  command: string[],
  env: Record<string, string> = {},
) {
  const first = await project.run(command, { env })
  const shown = ({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }) => ({
    code,
    stdout,
    stderr,
  })
  expect(shown(first)).toEqual(shown(project.plain(command, { env })))
  expect(first.report).toMatchObject({ outcome: 'cold', engine: 'fork', reason: 'first run' })
  project.edit(file, 'print("c")', 'print("C", __debug__)')
  const second = await project.run(command, { env })
  expect(shown(second)).toEqual(shown(project.plain(command, { env })))
  expect(second.report).toMatchObject({ outcome: 'resumed', engine: 'fork' })
}

describe('a program resumes that is started as', () => {
  it.each([
    ['python x.py', ['python3', 'app.py', 'argument']],
    ['python -u x.py', ['python3', '-u', 'app.py']],
    ['python -O x.py', ['python3', '-O', 'app.py']],
    ['python -W error x.py', ['python3', '-W', 'error', 'app.py']],
    ['python -X dev -B x.py', ['python3', '-X', 'dev', '-B', 'app.py']],
    ['python -m module', ['python3', '-m', 'app']],
    ['python of another directory', ['python3', '../{}/app.py']],
  ])('%s', async (name, command) => {
    const directory = name.replaceAll(/\W+/g, '-')
    const project = new Project(home, directory)
    project.write('app.py', `import sys\nprint(sys.argv, sys.flags.optimize, sys.warnoptions)\n${STEPS}`)
    await expectResumed(
      project,
      'app.py',
      command.map((word) => word.replace('{}', directory)),
    )
  })

  it('python -m package', async () => {
    const project = new Project(home, 'package')
    project.write('tool/__init__.py', '')
    project.write('tool/__main__.py', 'from .steps import main\nprint(__name__, __package__)\nmain()\n')
    project.write('tool/steps.py', STEPS.replace(/\nmain\(\)\n$/, '\n'))
    await expectResumed(project, 'tool/steps.py', ['python3', '-m', 'tool'])
  })

  it('python -c', async () => {
    const project = new Project(home, 'command')
    project.write('steps.py', STEPS)
    await expectResumed(project, 'steps.py', [
      'python3',
      '-c',
      'import sys; print(sys.argv); import steps',
      'x',
    ])
  })

  it.for(VERSIONS)(
    'python -c of CPython %s, whose tracebacks may show its lines',
    async (version, { skip }) => {
      const python = findInterpreter(version)
      const why = passedOver(version)
      if (python === null || why !== null) return skip(why ?? '')
      const project = new Project(home, `lines-${version}`)
      const command = [python, '-c', 'def fail():\n    1 / 0\nfail()']
      const { code, stderr } = await project.run(command)
      expect({ code, stderr }).toEqual({ code: 1, stderr: project.plain(command).stderr })
    },
  )

  it('a script with a first line', async () => {
    const project = new Project(home, 'script')
    project.write('script', `#!/usr/bin/env python3\nimport sys\nprint(sys.argv)\n${STEPS}`, 0o755)
    await expectResumed(project, 'script', ['./script', '1'])
  })

  it('a console script of a virtual environment', async () => {
    const project = new Project(home, 'console')
    const made = project.plain(['python3', '-m', 'venv', '--without-pip', 'env'])
    expect(made).toMatchObject({ code: 0 })
    const python = join(project.directory, 'env', 'bin', 'python3')
    const library = join(project.directory, 'env', 'lib')
    const site = join(library, readdirSync(library)[0] ?? '', 'site-packages')
    writeFileSync(join(site, 'installed.py'), 'def name():\n    return __name__\n')
    project.write('steps.py', STEPS.replace(/\nmain\(\)\n$/, '\n'))
    project.write(
      'env/bin/steps',
      `#!${python}\nimport sys\nsys.path.insert(0, ${JSON.stringify(project.directory)})\nimport installed\nfrom steps import main\nif __name__ == "__main__":\n    print(installed.name(), sys.prefix != sys.base_prefix)\n    sys.exit(main())\n`,
      0o755,
    )
    await expectResumed(project, 'steps.py', ['env/bin/steps'])
    const onPath = { PATH: `${join(project.directory, 'env', 'bin')}:${home.env['PATH']}` }
    project.edit('steps.py', 'print("C", __debug__)', 'print("c")')
    await expectResumed(project, 'steps.py', ['steps'], onPath)
  })

  it('what a version manager puts in front of the interpreter', async () => {
    const project = new Project(home, 'shim')
    const real = project.plain(['python3', '-c', 'import sys; print(sys.executable)']).stdout.trim()
    mkdirSync(project.path('shims'))
    writeFileSync(project.path('shims/python3'), `#!/usr/bin/env bash\nset -e\nexec "${real}" "$@"\n`)
    chmodSync(project.path('shims/python3'), 0o755)
    project.write('app.py', `import sys\nprint(sys.executable)\n${STEPS}`)
    const env = { PATH: `${project.path('shims')}:${home.env['PATH']}` }
    await expectResumed(project, 'app.py', ['python3', 'app.py'], env)
  })

  it('what a real version manager starts, with the environment that it sets', async ({ skip }) => {
    const pyenv = home.env['PYENV_ROOT'] ?? ''
    if (!existsSync(join(pyenv, 'shims/python3'))) skip('pyenv is not installed here')
    const project = new Project(home, 'pyenv')
    project.write('app.py', `import os\nprint(sorted(os.environ.items()))\n${STEPS}`)
    const env = { PATH: `${join(pyenv, 'shims')}:/usr/bin:/bin` }
    await expectResumed(project, 'app.py', ['python3', 'app.py'], env)
    project.write('script', `#!/usr/bin/env python3\nimport app\n`, 0o755)
    project.edit('app.py', 'print("C", __debug__)', 'print("c")')
    await expectResumed(project, 'app.py', ['./script'], env)
  })

  it('a console script behind a version manager', async () => {
    const project = new Project(home, 'managed')
    const script = project.write(
      'version/bin/app',
      '#!/usr/bin/env python3\nimport sys\nsys.path.insert(0, ".")\nprint(sys.argv)\nimport steps\n',
      0o755,
    )
    const manager = project.write(
      'pyenv',
      `#!/bin/sh
[ "$PYENV_ROOT" = "${project.directory}" ] || exit 1
case "$1 $2" in
  "which app") echo "${script}" ;;
  "exec app") shift 2; exec "${script}" "$@" ;;
  *) exit 1 ;;
esac
`,
      0o755,
    )
    project.write(
      'shims/app',
      `#!/usr/bin/env bash
set -e
[ -n "$PYENV_DEBUG" ] && set -x

program="\${0##*/}"

export PYENV_ROOT="${project.directory}"
exec "${manager}" exec "$program" "$@"
`,
      0o755,
    )
    project.write('steps.py', STEPS)
    const env = { PATH: `${project.path('shims')}:${home.env['PATH']}` }
    await expectResumed(project, 'steps.py', ['app', '1'], env)
  })
})

describe('runs plainly, cold each time, with the reason said', () => {
  const pythons = ['/usr/bin/pypy3'].filter((one) => existsSync(one))
  it.each([
    ['a program that is not Python', ['sh', '-c', 'echo x'], /not a Python program/],
    ['a directory', ['python3', 'directory'], /a directory/],
    ['a compiled file', ['python3', 'compiled.pyc'], /compiled already/],
    ['the program on stdin', ['python3', '-'], /comes from stdin/],
    ['an interpreter alone', ['python3'], /interactive/],
    ['an option that traces imports', ['python3', '-X', 'importtime', 'app.py'], /importtime/],
    ...pythons.map((python): [string, string[], RegExp] => [
      python,
      [python, 'app.py'],
      /only release builds/,
    ]),
  ])('%s', async (name, command, reason) => {
    const project = new Project(home, `plain-${name.replaceAll(/\W+/g, '-')}`)
    project.write('app.py', 'print("x")\n')
    project.write('directory/__main__.py', 'print("x")\n')
    project.plain(['python3', '-c', 'import py_compile; py_compile.compile("app.py", "compiled.pyc")'])
    for (let n = 0; n < 2; n++) {
      const done = await project.run(command, { input: 'print("x")\n' })
      expect(done).toMatchObject({ code: 0, stdout: 'x\n', report: { outcome: 'cold', engine: 'plain' } })
      expect(done.report.reason).toMatch(reason)
    }
  })

  it('an interpreter that is told to compile', async () => {
    const project = new Project(home, 'compiling')
    project.write('app.py', 'print("x")\n')
    const told = await project.run(['python3', 'app.py'], { env: { PYTHON_JIT: '1' } })
    expect(told).toMatchObject({ code: 0, stdout: 'x\n', report: { outcome: 'cold', engine: 'plain' } })
    expect(told.report.reason).toMatch(/experimental compiler/)
    const not = await project.run(['python3', 'app.py'], { env: { PYTHON_JIT: '0' } })
    expect(not).toMatchObject({ report: { outcome: 'cold', engine: 'fork' } })
  })
})
