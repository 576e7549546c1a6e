import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { RepairBundle, RepairReport } from '@thaw/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
import { pythonRoot } from '../support/instances.js'
import { whyNot } from '../support/process.js'
import { Project, WORK } from '../support/project.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/repair/sandbox.test.ts is skipped: ${why}`)

const root = why === null ? pythonRoot() : null
if (root === null) console.warn('repairs in root file systems are not tested: no packages of Python')

let home: Home
beforeAll(() => {
  home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..'), THAW_FACTOR: '1' })
})
afterAll(() => home[Symbol.asyncDispose]())

const PYTHON = ['--engine', 'process', '--', 'python3', '-u', 'app.py']

function faulty(name: string, text: string): Project {
  const project = new Project(home, name)
  project.write('app.py', text)
  project.write('thaw.toml', '')
  return project
}

async function repair(project: Project, options: string[], command = PYTHON) {
  const [report, bundle] = ['report', 'bundle'].map((kind) =>
    join(home.directory, `${basename(project.directory)}.${kind}`),
  )
  const [first = '', ...more] = options
  const done = await home.run(
    ['repair', '--report', report ?? '', ...more, '--with', `cat > ${bundle}; ${first}`, ...command],
    { cwd: project.directory },
  )
  const read = <T>(file = '') =>
    (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null) as T | null
  return { ...done, report: read<RepairReport>(report), bundle: read<RepairBundle>(bundle) }
}

/** Draws a number that no second start of it would draw, beside a thread that stays. */
const DRAWN = `${WORK}
import random, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
seen = random.random()
print("drawn", flush=True)
work(0.4)

def use(value):
    work(0.1)
    return value.nothing

print(use(7), threading.active_count())
`

describe.skipIf(why !== null)('thaw repair of a program in a sandbox', { timeout: 120_000 }, () => {
  it('tells the repairer where it stood, and goes on from a checkpoint', async () => {
    const project = faulty('exact', DRAWN)
    const done = await repair(project, ['sed -i s/value.nothing/value/ app.py'])
    expect(done, done.stderr).toMatchObject({ code: 0, stdout: 'drawn\n7 2\n' })
    expect(done.report?.attempts[1]?.report).toMatchObject({ outcome: 'resumed', engine: 'process' })
    const inner = done.bundle?.failure.exceptions[0]?.frames.at(-1)
    expect(inner).toMatchObject({ file: 'app.py', function: 'use', locals: { value: '7' } })
    expect(done.bundle?.checkpoints.length).toBeGreaterThan(0)
  })

  it('goes on hot with the state as it was', async () => {
    const text = DRAWN.replace('print(use(7)', 'before = seen\nprint(use(7), seen == before')
    const project = faulty('hot', text)
    // What ran first is edited too: a run from the start would not print this number of threads.
    const edit = "sed -i 's/value.nothing/value/; s/^seen = .*/seen = None/' app.py"
    const done = await repair(project, [edit, '--hot'])
    expect(done, done.stderr).toMatchObject({ code: 0, stdout: 'drawn\n7 True 2\n' })
    expect(done.report?.attempts).toHaveLength(2)
    expect(done.report?.attempts[1]?.report).toMatchObject({ outcome: 'resumed', engine: 'process' })
  })

  it('tells where a signal ended it, also after a checkpoint', async () => {
    const project = faulty(
      'crash',
      `${WORK}\nimport ctypes\nwork(0.4)\ndef peek(at):\n    return ctypes.string_at(at, 1)\nprint(peek(8))\n`,
    )
    const { bundle } = await repair(project, ['true', '--rounds', '1'])
    expect(bundle?.failure).toMatchObject({ kind: 'signal', exit: { signal: 'SIGSEGV' } })
    expect(bundle?.failure.stack).toMatch(/Fatal Python error: Segmentation fault[\s\S]* in peek/)
    expect(bundle?.checkpoints.length).toBeGreaterThan(0)
  })

  it.skipIf(root === null)('repairs a program in a root file system of its own (-d)', async () => {
    const project = faulty(
      'image',
      `${DRAWN}open("/etc/made", "w").write("x")\nopen("made.txt", "w").write("y")\n`.replace(
        'seen = random.random()',
        'seen = __import__("platform").python_version()',
      ),
    )
    const command = ['-d', root ?? '', ...PYTHON.slice(2)]
    const done = await repair(project, ['sed -i s/value.nothing/value/ app.py'], command)
    expect(done, done.stderr).toMatchObject({ code: 0, stdout: 'drawn\n7 2\n' })
    expect(done.report?.attempts[1]?.report).toMatchObject({ outcome: 'resumed', engine: 'process' })
    const inner = done.bundle?.failure.exceptions[0]?.frames.at(-1)
    expect(inner).toMatchObject({ function: 'use', locals: { value: '7' } })
    expect(done.bundle?.failure.exceptions[0]?.frames[0]?.locals['seen']).toBe("'3.11.2'")
    expect(project.read('made.txt')).toBe('y')
    expect(existsSync('/etc/made')).toBe(false)
    expect(existsSync(join(root ?? '', 'etc/made'))).toBe(false)
  })

  it('asks one that hangs where it stands', async () => {
    const project = faulty(
      'hang',
      `${WORK}\nwork(0.4)\ndef spin(step):\n    while True:\n        pass\nspin(2)\n`,
    )
    const done = await repair(project, ['true', '--rounds', '1', '--time-limit', '2s'])
    expect(done.code).toBe(124)
    const inner = done.bundle?.failure.exceptions[0]?.frames.at(-1)
    expect(inner).toMatchObject({ file: 'app.py', function: 'spin', locals: { step: '2' } })
  })
})
