import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { VerifyReport } from '@thaw/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, root, until, type Options } from '../support/home.js'
import { Project, STEPS, WORK } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.asyncDispose]())

const PYTHON = ['python3', 'app.py']

function project(name: string, app: string, at = home): Project {
  const made = new Project(at, name)
  made.write('thaw.toml', '')
  made.write('app.py', app)
  return made
}

async function verify(
  args: readonly string[] = ['last'],
  options: Options = {},
  at = home,
): Promise<{ code: number | null; report: VerifyReport }> {
  const done = await at.run(['verify', '--json', ...args], options)
  if (done.stdout === '') throw new Error(done.stderr)
  return { code: done.code, report: JSON.parse(done.stdout) as VerifyReport }
}

const leftovers = (at = home) => {
  const works = join(at.env['THAW_HOME'] ?? '', 'state', 'verify')
  return existsSync(works) ? readdirSync(works) : []
}

describe('an equal run', () => {
  it('is told, cold and resumed', async () => {
    const one = project('equal', STEPS)
    await one.run(PYTHON)
    expect((await home.run(['verify', 'last'])).stdout).toMatch(
      /^equal \(stdout, stderr, exit code\); under thaw .*, cold .*\n$/,
    )
    one.edit('app.py', 'print("c")', 'print("see"); raise SystemExit(3)')
    const { report: run } = await one.run(PYTHON)
    expect(run.outcome).toBe('resumed')
    const { code, report } = await verify([run.run])
    expect(report).toMatchObject({
      run: run.run,
      verdict: 'equal',
      differences: [],
      exit: { cold: { code: 3 } },
    })
    expect(code).toBe(0)
    expect(leftovers()).toEqual([])
  })

  it('is met as it was: stdin, files it wrote, variables', async () => {
    const one = project(
      'met',
      `${WORK}
import os, sys
def first():
    print(sys.stdin.read(), os.environ["COLOUR"], sorted(os.listdir(".")))
    with open("log.txt", "a") as log: log.write("line\\n")
    os.mkdir("made")
    os.remove("old.txt")
    work()
def second():
    print(open("log.txt").read(), os.stat("data.txt").st_mtime_ns)
first()
second()
`,
    )
    one.write('log.txt', 'begun\n')
    one.write('old.txt', 'old')
    one.write('data.txt', 'data', 0o640)
    symlinkSync('data.txt', one.path('link'))
    const options = { input: 'sent', env: { COLOUR: 'blue' } }
    await one.run(PYTHON, options)
    const { report } = await verify()
    expect(report).toMatchObject({ verdict: 'equal', files: 3, same_path: true })
    // The project itself is as the run left it.
    expect(one.read('log.txt')).toBe('begun\nline\n')
    expect(existsSync(one.path('old.txt'))).toBe(false)
  })

  it('may use what is not copied, and finds itself in its own place', async () => {
    const one = project(
      'shared',
      `import os
print(os.getcwd(), __file__, open(".venv/lib/mod.txt").read(), os.path.islink("node_modules"))
`,
    )
    one.write('.venv/pyvenv.cfg', '')
    one.write('.venv/lib/mod.txt', 'module')
    one.write('node_modules/a/index.js', '')
    await one.run(['python3', one.path('app.py')])
    expect((await verify()).report).toMatchObject({ verdict: 'equal', same_path: true })
  })
})

/** What its child reads is not watched: with its effects kept, a change of it goes unnoticed. */
const BLIND = `import subprocess
print("before")
print(subprocess.check_output(["cat", "data.txt"]).decode())
with open("out.txt", "w") as out: out.write(subprocess.check_output(["cat", "data.txt"]).decode())
`

describe('a difference', () => {
  it('is shown, and kept with what reproduces it', async () => {
    const one = project('blind', `import os\nos.environ.get("SEEN")\n${BLIND}`)
    one.write('data.txt', 'one\n')
    const options = { flags: ['--effects', 'keep'], env: { SEEN: 'value', SECRET: 'hidden' } }
    await one.run(PYTHON, options)
    one.write('data.txt', 'two\n')
    expect((await one.run(PYTHON, options)).report.outcome).toBe('replayed')
    const shown = await home.run(['verify', 'last', '--redo-effects'])
    expect(shown.code).toBe(1)
    expect(shown.stdout).toContain('@@ -1,3 +1,3 @@\n before\n-one\n+two\n \n')
    expect(shown.stdout).toContain('--- out.txt (recorded)')
    const bundle = /what reproduces it: (.*)/.exec(shown.stdout)?.[1] ?? ''
    expect(statSync(bundle).mode & 0o777).toBe(0o700)
    expect(readFileSync(join(bundle, 'recorded', 'stdout'), 'utf8')).toBe('before\none\n\n')
    expect(readFileSync(join(bundle, 'cold', 'files', 'out.txt'), 'utf8')).toBe('two\n')
    expect(readFileSync(join(bundle, 'project', 'app.py'), 'utf8')).toContain('subprocess')
    expect(existsSync(join(bundle, 'copy'))).toBe(false)
    const facts = readFileSync(join(bundle, 'facts.json'), 'utf8')
    expect(JSON.parse(facts)).toMatchObject({
      command: PYTHON,
      env: { SEEN: 'value' },
      other_env_names: expect.arrayContaining(['SECRET']),
      verify: { verdict: 'different' },
    })
    expect(facts).not.toContain('hidden')
    expect(one.read('out.txt')).toBe('one\n')
    expect(leftovers()).toEqual([])
  })

  it('that two cold runs show as well is the program’s own', async () => {
    const one = project('own', 'import time\nprint("at", time.time(), "found", 5)\n')
    await one.run(PYTHON)
    const { code, report } = await verify()
    expect(report).toMatchObject({ verdict: 'undetermined', bundle: null, differences: [{ own: true }] })
    expect(code).toBe(3)
  })
})

describe('what cannot be verified is refused', () => {
  const refused = async (args: string[]) => {
    const done = await home.run(['verify', ...args])
    expect(done.code).toBe(125)
    return done.stderr
  }

  it('effects, which a cold run would do again', async () => {
    const one = project('effects', BLIND)
    one.write('data.txt', 'one\n')
    await one.run(PYTHON)
    expect(await refused(['last'])).toMatch(/^thaw: HAS_EFFECTS: .*cat.*--redo-effects/)
    const { report } = await verify(['last', '--redo-effects'])
    expect(report).toMatchObject({ verdict: 'equal', notes: [expect.stringContaining('done again: ')] })
  })

  it('files that it left in the temporary directory', async () => {
    const left = join(home.directory, 'left.txt')
    const one = project('temporary', `open(${JSON.stringify(left)}, "w").write("x")\n`)
    await one.run(PYTHON, { env: { TMPDIR: home.directory } })
    expect(await refused(['last'])).toContain(`HAS_EFFECTS: A cold run would do again: writing ${left}`)
  })

  it('a run whose program or inputs were changed since', async () => {
    const one = project('since', 'print(open("data.txt").read())\n')
    one.write('data.txt', 'one')
    await one.run(PYTHON)
    one.write('data.txt', 'three')
    expect(await refused(['last'])).toMatch(/NOT_VERIFIABLE: .*data\.txt changed/)
  })

  it('a stop, and a command that runs plainly', async () => {
    const one = project('stopped', STEPS)
    await one.run(PYTHON, { flags: ['--break', 'app.py:c'] })
    expect(await refused(['last'])).toMatch(/NOT_VERIFIABLE: It stopped at a checkpoint/)
    await home.run(['run', '-q', 'true'])
    expect(await refused(['last'])).toMatch(/NOT_VERIFIABLE: .*plainly/)
  })
})

describe('a verification that is given up', () => {
  const cold = () =>
    home.processes().filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('slow.py')
      } catch {
        return false
      }
    })

  it('leaves nothing, whoever is killed', async () => {
    const one = project('slow', '')
    one.write('slow.py', 'import time\nopen("out.txt", "w").write("x")\ntime.sleep(2)\nprint("slept")\n')
    await one.run(['python3', 'slow.py'])
    const { run } = await home.json<{ run: { id: string } }>(['tree', 'last'])
    const parked = new Set(cold())
    const running = () => cold().some((pid) => !parked.has(pid))

    const client = home.start(['verify', run.id])
    await until('the cold run is under way', () => leftovers().length === 1 && running())
    client.child.kill('SIGKILL')
    await until('it is gone', () => leftovers().length === 0 && !running())
    expect((await verify([run.id])).report.verdict).toBe('equal')

    const other = home.start(['verify', run.id])
    await until('the cold run is under way', () => leftovers().length === 1 && running())
    const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
    process.kill(pid, 'SIGKILL')
    // A fresh daemon is asked again by itself, and knows nothing of the run.
    expect(await other.ended).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/ended with its daemon/),
    })
    await until('its processes are gone', () => cold().length === 0)
    await home.run(['run', '-q', 'true'])
    expect(leftovers()).toEqual([])
  }, 60_000)
})

/** A process that may not have mounts of its own, as in most containers. */
const CONFINED = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin "$@"'
const confine = (argv: string[]) => ['unshare', ['-Ur', 'sh', '-c', CONFINED, 'sh', ...argv]] as const
const confines = spawnSync(...confine(['sh', '-c', 'unshare -m true || unshare -Um true || echo confined']))

it.skipIf(!confines.stdout?.toString().includes('confined'))(
  'where no private view is possible, works at another path and translates (skipped where that cannot be tried)',
  async () => {
    await using other = new Home()
    const one = project(
      'confined',
      'import os\nprint(os.getcwd())\nopen("out.txt", "w").write(__file__)\n',
      other,
    )
    one.write('.venv/pyvenv.cfg', '')
    const bin = join(root, 'packages', 'thaw', 'bin', 'thaw.js')
    const started = spawnSync(...confine([process.execPath, bin, 'daemon', 'start']), { env: other.env })
    expect(started.stderr.toString()).toBe('')
    await one.run(['python3', one.path('app.py')])
    const { report } = await verify(['last'], {}, other)
    expect(report).toMatchObject({ verdict: 'equal', same_path: false, files: 1 })
    expect(one.read('out.txt')).toBe(one.path('app.py'))
  },
)
