import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

/** A virtual environment without pip, and where packages are installed in it. */
function environment(project: Project): { python: string; packages: string } {
  execFileSync('python3', ['-m', 'venv', '--without-pip', project.path('../environment')])
  const library = project.path('../environment/lib')
  const packages = join(library, readdirSync(library)[0] ?? '', 'site-packages')
  return { python: project.path('../environment/bin/python'), packages }
}

async function expectLikePlain(project: Project, command: string[], outcome: 'runs' | 'replayed') {
  const { code, stdout, stderr, report } = await project.run(command)
  const plain = project.plain(command)
  expect({ code, stdout, stderr }).toEqual({ code: plain.code, stdout: plain.stdout, stderr: plain.stderr })
  expect(report.outcome === 'replayed' ? 'replayed' : 'runs').toBe(outcome)
}

describe('a run meets what was installed since', () => {
  it('a package that it looked for in vain, and one that is removed again', async () => {
    const project = new Project(home, 'one/project')
    const { python, packages } = environment(project)
    project.write('app.py', 'print("begins")\nimport wanted_package\nprint(wanted_package.VALUE)\n')
    const command = [python, 'app.py']
    await expectLikePlain(project, command, 'runs')
    writeFileSync(join(packages, 'something_else.py'), '')
    await expectLikePlain(project, command, 'replayed')
    mkdirSync(join(packages, 'wanted_package'))
    writeFileSync(join(packages, 'wanted_package', '__init__.py'), 'VALUE = 3\n')
    await expectLikePlain(project, command, 'runs')
    rmSync(join(packages, 'wanted_package'), { recursive: true })
    await expectLikePlain(project, command, 'replayed')
  })

  it('settings that the interpreter reads when it starts', async () => {
    const project = new Project(home, 'two/project')
    const { python, packages } = environment(project)
    project.write(
      'app.py',
      'import sys\nprint(getattr(sys, "told", None))\ntry:\n    import elsewhere\nexcept ImportError as error:\n    print(error)\n',
    )
    mkdirSync(project.path('../library'))
    writeFileSync(project.path('../library/elsewhere.py'), 'print("found")\n')
    const command = [python, 'app.py']
    await expectLikePlain(project, command, 'runs')
    const settings = join(packages, 'more.pth')
    writeFileSync(settings, `${project.path('../library')}\nimport sys; sys.told = 1\n`)
    await expectLikePlain(project, command, 'runs')
    writeFileSync(settings, 'import sys; sys.told = "again"\n')
    await expectLikePlain(project, command, 'runs')
    await expectLikePlain(project, command, 'replayed')
    rmSync(settings)
    await expectLikePlain(project, command, 'replayed')
  })

  it('distributions, for who lists them', async () => {
    const project = new Project(home, 'three/project')
    const { python, packages } = environment(project)
    project.write(
      'app.py',
      'from importlib.metadata import entry_points\nprint([p.name for p in entry_points(group="toys")])\n',
    )
    const command = [python, 'app.py']
    await expectLikePlain(project, command, 'runs')
    const distribution = join(packages, 'toy-1.0.dist-info')
    mkdirSync(distribution)
    writeFileSync(join(distribution, 'METADATA'), 'Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n')
    writeFileSync(join(distribution, 'entry_points.txt'), '[toys]\nball = toy:ball\n')
    await expectLikePlain(project, command, 'runs')
  })
})

describe('a package that is spread over directories becomes one of its own', () => {
  it.each(['parts', '../beside/parts'])('in %s', async (place) => {
    const project = new Project(home, `spread-${place.length}/project`)
    project.write(`${place}/first.py`, 'VALUE = 1\n')
    project.write(
      'app.py',
      'import sys\nsys.path.append("../beside")\nimport parts.first\nprint(parts.first.VALUE, hasattr(parts, "OWN"))\n',
    )
    const command = ['python3', 'app.py']
    await expectLikePlain(project, command, 'runs')
    const own = project.write(`${place}/__init__.py`, 'OWN = 1\n')
    await expectLikePlain(project, command, 'runs')
    rmSync(own)
    expect(existsSync(own)).toBe(false)
    await expectLikePlain(project, command, 'replayed')
  })
})
