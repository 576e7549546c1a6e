/** `thaw run --image`: programs of a project in a root file system of its own; Debian's Python, busybox. */
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home, until } from '../support/home.js'
import { pythonRoot } from '../support/instances.js'
import { sandboxMounts, whyNot } from '../support/process.js'
import { Project, WORK } from '../support/project.js'

const why = (await whyNot()) ?? (pythonRoot() === null ? 'the packages of Python cannot be fetched' : null)
if (why !== null) console.warn(`tests/process/root.test.ts is skipped: ${why}`)

const MINUTE = 60_000
/** Of this machine, and in no image. */
const ELSEWHERE = mkdtempSync('/var/tmp/thaw-test-')
const PYTHON = ['python3', '-u', 'app.py', ELSEWHERE]

let home: Home
beforeAll(() => {
  home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_FACTOR: '1' })
})
afterAll(async () => {
  rmSync(ELSEWHERE, { recursive: true })
  await home[Symbol.asyncDispose]()
})

/** Writes into the image and into the project, and says what it finds of both. */
const APP = `${WORK}
import json, os, sys
print(sys.version.split()[0], os.path.exists("/etc/debian_version"), os.path.exists(sys.argv[1]))
open("/etc/made", "w").write("image")
open("made.txt", "w").write("project")
work(0.4)

def told():
    return [open("/etc/made").read(), open("made.txt").read()]

print(json.dumps(told()))
`

describe.skipIf(why !== null)('a run in a root file system', { timeout: 5 * MINUTE }, () => {
  it('goes on after an edit as a cold run would, and leaves image and machine as they were', async () => {
    const root = pythonRoot() ?? ''
    const project = new Project(home, 'exact')
    project.write('app.py', APP)
    const mounts = sandboxMounts()
    const flags = ['--image', root]
    const first = await project.run(PYTHON, { flags })
    expect(first, first.stderr).toMatchObject({ code: 0, report: { outcome: 'cold', engine: 'process' } })
    expect(first.stdout).toMatch(/^3\.11\.2 \w+ False\n\["image", "project"\]\n$/)
    project.edit('app.py', 'return [open', 'return ["edited", open')
    const second = await project.run(PYTHON, { flags })
    expect(second, second.stderr).toMatchObject({ code: 0, report: { outcome: 'resumed' } })
    expect(second.stdout).toBe(first.stdout.replace('["image', '["edited", "image'))
    expect((await project.run(PYTHON, { flags })).report.outcome).toBe('replayed')
    expect(existsSync(join(root, 'etc/made'))).toBe(false)
    expect(existsSync('/etc/made')).toBe(false)
    expect(project.read('made.txt')).toBe('project')
    // The same command without the image is another run.
    project.write('app.py', 'print("here")\n')
    expect(await project.run(PYTHON)).toMatchObject({ stdout: 'here\n', report: { engine: 'fork' } })
    // Those of tests that run beside may come and go.
    await until('no mount is left', () => sandboxMounts() <= mounts)
  })

  it('verifies against a cold run in there', async () => {
    const project = new Project(home, 'verified')
    project.write('app.py', APP)
    const { report } = await project.run(PYTHON, { flags: ['--image', pythonRoot() ?? ''] })
    const verified = await home.run(['verify', report.run])
    expect(verified, verified.stderr).toMatchObject({ code: 0 })
  })

  it('begins anew when the directory has changed', async () => {
    const root = join(home.directory, 'changing')
    cpSync(pythonRoot() ?? '', root, { recursive: true, verbatimSymlinks: true })
    const project = new Project(home, 'changed')
    project.write(
      'app.py',
      `${WORK}\nwork(0.3)\ndef read():\n    return open("/etc/word").read()\nprint(read())\n`,
    )
    writeFileSync(join(root, 'etc/word'), 'one')
    const flags = ['--image', root]
    expect((await project.run(PYTHON, { flags })).stdout).toBe('one\n')
    writeFileSync(join(root, 'etc/word'), 'three')
    const again = await project.run(PYTHON, { flags })
    expect(again).toMatchObject({ stdout: 'three\n', report: { outcome: 'cold' } })
    rmSync(root, { recursive: true })
  })

  it('takes an image, and programs of any language', async () => {
    const imported = await home.run(['image', 'import', pythonRoot() ?? '', '--name', 'python:12', 'sh'])
    expect(imported, imported.stderr).toMatchObject({ code: 0 })
    const project = new Project(home, 'shell')
    const script = 'echo layer > /etc/written; echo ready; sleep 1; echo $(cat /etc/written) > told; cat told'
    const whole = ['sh', '-c', script]
    const flags = ['--image', 'python:12', '--break-output', 'ready']
    const stopped = await project.run(whole, { flags })
    expect(stopped, stopped.stderr).toMatchObject({ stdout: 'ready\n', report: { outcome: 'stopped' } })
    const id = stopped.report.checkpoint?.id ?? ''
    const resumed = await project.resume([id])
    expect(resumed, resumed.stderr).toMatchObject({ code: 0, stdout: 'layer\n' })
    expect(project.read('told')).toBe('layer\n')
    // Its project cannot be seen twice.
    expect((await home.run(['resume', '-n', '2', id])).stderr).toMatch(/UNSUPPORTED.*no private view/)
    const refused = await home.run(['run', '--image', 'nobody', 'true'], { cwd: project.directory })
    expect(refused.stderr).toMatch(/IMAGE_NOT_FOUND/)
  })

  it('refuses to show a project where the image has something else', async () => {
    const root = join(home.directory, 'odd')
    cpSync(pythonRoot() ?? '', root, { recursive: true, verbatimSymlinks: true })
    writeFileSync(join(root, home.directory.split('/')[1] ?? ''), 'a file')
    const project = new Project(home, 'refused')
    const refused = await home.run(['run', '--image', root, 'true'], { cwd: project.directory })
    expect(refused, refused.stderr).toMatchObject({ code: 125 })
    expect(refused.stderr).toMatch(/UNSUPPORTED.*something else stands there/)
    rmSync(root, { recursive: true })
  })
})
