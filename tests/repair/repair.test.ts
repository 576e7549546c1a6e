import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { RepairBundle, RepairReport } from '@thaw/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RunStream } from '../../packages/sdk/src/run-stream.js'
import { Home, until } from '../support/home.js'
import { Project } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.asyncDispose]())

const FAULTY = `import time

def load():
    print("loading", flush=True)
    time.sleep(0.3)
    return [{"name": "tea", "price": 3}, {"name": "bread", "price": 4}]

def total(items):
    api_key = "abc123def456"
    return sum(item["amount"] for item in items)

print(total(load()))
`
const FIXED = FAULTY.replace('"amount"', '"price"')
const DIFF = `--- a/job.py
+++ b/job.py
@@ -8,3 +8,3 @@
 def total(items):
     api_key = "abc123def456"
-    return sum(item["amount"] for item in items)
+    return sum(item["price"] for item in items)
`

function faulty(name: string): Project {
  const project = new Project(home, name)
  project.write('job.py', FAULTY)
  project.write('thaw.toml', '')
  return project
}

async function repair(project: Project, options: string[], command: string[] = ['job.py'], input = '') {
  const report = join(home.directory, `${Math.random()}.json`)
  const done = await home.run(['repair', '--report', report, ...options, ...command], {
    cwd: project.directory,
    input,
  })
  const told = existsSync(report) ? readFileSync(report, 'utf8') : ''
  return { ...done, report: JSON.parse(told === '' ? '{}' : told) as RepairReport }
}

/** A repairer that prints this. */
function says(project: Project, text: string): string[] {
  const file = join(home.directory, `${basename(project.directory)}.answer`)
  writeFileSync(file, text)
  return ['--rounds', '1', '--with', `cat ${file}`]
}

describe('thaw repair', () => {
  it('runs a bare script with python3, and says who could repair it', async () => {
    const project = faulty('nobody')
    const done = await repair(project, [])
    expect(done).toMatchObject({ code: 1, stdout: 'loading\n' })
    expect(done.stderr).toContain("KeyError: 'amount'")
    expect(done.stderr).toMatch(/nobody is there to repair it.*OPENAI_API_KEY/)
    expect(project.read('job.py')).toBe(FAULTY)
    // -n: the program, and nothing else.
    const plain = await home.run(['repair', '-n', 'job.py'], { cwd: project.directory })
    expect(plain).toMatchObject({ code: 1, stdout: 'loading\n' })
    expect(plain.stderr).not.toContain('thaw:')
  })

  it('goes on after a diff, keeps the patch, and takes it back', async () => {
    const project = faulty('diff')
    const before = statSync(project.path('job.py')).mtimeMs
    const done = await repair(project, says(project, `Here:\n${DIFF}`))
    expect(done).toMatchObject({ code: 0, stdout: 'loading\n7\n', report: { outcome: 'repaired' } })
    expect(done.report.attempts.at(-1)?.report.outcome).toBe('resumed')
    expect(project.read('job.py')).toBe(FIXED)
    expect(readFileSync(done.report.patch ?? '', 'utf8')).toContain('+    return sum(item["price"]')
    const undone = await home.run(['repair', 'undo'], { cwd: project.directory })
    expect(undone.code, undone.stderr).toBe(0)
    expect(project.read('job.py')).toBe(FAULTY)
    expect(statSync(project.path('job.py')).mtimeMs).toBeCloseTo(before, -2)
    // Nothing is left to take back.
    expect((await home.run(['repair', 'undo'], { cwd: project.directory })).stderr).toContain(
      'REPAIR_NOT_FOUND',
    )
  })

  it('does not undo what somebody has changed since', async () => {
    const project = faulty('changed')
    const { report } = await repair(project, says(project, DIFF))
    project.write('job.py', `${FIXED}# mine\n`)
    const undone = await home.run(['repair', 'undo', report.id], { cwd: project.directory })
    expect(undone.code).toBe(125)
    expect(undone.stderr).toMatch(/FILES_CHANGED: job\.py.*patch -R -p1/)
    expect(project.read('job.py')).toBe(`${FIXED}# mine\n`)
  })

  it('tells the repairer what it needs, without secrets', async () => {
    const project = faulty('bundle')
    const kept = join(home.directory, 'kept.json')
    const secret = 'tell-nobody-about-this'
    project.write(
      'job.py',
      FAULTY.replace('print(total', `import os\nprint(os.environ["MY_TOKEN"])\nprint(total`),
    )
    home.env['MY_TOKEN'] = secret
    const done = await repair(project, ['--rounds', '1', '--with', `cat > ${kept}`])
    delete home.env['MY_TOKEN']
    expect(done.report.tried).toMatchObject([{ outcome: 'refused', detail: 'the answer is empty' }])
    const text = readFileSync(kept, 'utf8')
    expect(text).not.toContain(secret)
    const bundle = JSON.parse(text) as RepairBundle
    expect(bundle).toMatchObject({
      version: 1,
      round: 1,
      project: project.directory,
      command: ['python3', 'job.py'],
    })
    expect(bundle.failure).toMatchObject({ kind: 'exception', exit: { code: 1 } })
    const [error] = bundle.failure.exceptions
    expect(error).toMatchObject({ type: 'KeyError', message: "'amount'" })
    const inner = error?.frames.find(({ function: name }) => name === 'total')
    expect(inner).toMatchObject({ file: 'job.py', line: 10, project: true })
    expect(inner?.locals['api_key']).toBe('<masked>')
    expect(inner?.locals['items']).toContain("'price': 3")
    expect(inner?.source.map(({ text: line }) => line).join('\n')).not.toContain('abc123def456')
    expect(bundle.files.map(({ path }) => path)).toContain('job.py')
    expect(bundle.output.stdout).toContain('loading')
    expect(bundle.checkpoints.length).toBeGreaterThan(0)
    expect(bundle.checkpoints[0]?.cost_seconds).toBeGreaterThanOrEqual(0)
  })

  it('shows stdin to every attempt, and passes arguments through', async () => {
    const project = faulty('stdin')
    project.write(
      'job.py',
      'import sys\nwords = sys.stdin.read().split()\ndef pick(n):\n    return words[n + 1]\nprint(pick(int(sys.argv[1])))\n',
    )
    const script = `python3 -c "s = open('job.py').read(); open('job.py', 'w').write(s.replace('n + 1', 'n'))"`
    const done = await repair(project, ['--with', script], ['--', 'python3', 'job.py', '2'], 'a b c')
    expect(done, done.stderr).toMatchObject({ code: 0, stdout: 'c\n' })
  })

  it('counts what the user says is a failure: a check, a pattern on stderr; but no other text there', async () => {
    const project = faulty('check')
    project.write(
      'job.py',
      'import sys\nprint("warning: odd", file=sys.stderr)\nopen("out.txt", "w").write("2")\n',
    )
    const edit = `sed -i s/2/3/ job.py`
    expect(await repair(project, ['--with', edit])).toMatchObject({
      code: 0,
      report: { outcome: 'succeeded' },
    })
    const checked = await repair(project, ['--check', 'grep -q 3 out.txt', '--with', edit])
    expect(checked, checked.stderr).toMatchObject({ code: 0, report: { outcome: 'repaired' } })
    expect(checked.report.attempts[0]?.failure?.kind).toBe('check')
    const quiet = `sed -i s/odd/even/ job.py`
    const matched = await repair(project, ['--on-stderr', 'warning: o', '--with', quiet])
    expect(matched, matched.stderr).toMatchObject({ code: 0, report: { outcome: 'repaired' } })
    expect(matched.report.attempts[0]?.failure?.kind).toBe('output')
  })

  it('goes on hot with the state as it was', async () => {
    const project = faulty('hot')
    project.write(
      'job.py',
      `import random, time
seen = random.random()
print("drawn", flush=True)
time.sleep(0.2)

def use(value):
    return value.nothing

print(use(7), seen == seen)
`,
    )
    const done = await repair(project, ['--hot', '--with', 'sed -i s/value.nothing/value/ job.py'])
    expect(done, done.stderr).toMatchObject({
      code: 0,
      stdout: 'drawn\n7 True\n',
      report: { outcome: 'repaired' },
    })
    // A second start of the program would have drawn another number.
    expect(done.report.attempts).toHaveLength(2)
    expect(done.report.attempts[1]?.report.outcome).toBe('resumed')
  })

  const gdb = spawnSync('gdb', ['--version']).status === 0
  it('tells where a signal ended it, in Python and, with gdb, in native code', async () => {
    const project = faulty('crash')
    const kept = join(home.directory, 'crash.json')
    project.write(
      'job.py',
      'import ctypes, time\ntime.sleep(0.2)\ndef peek(at):\n    return ctypes.string_at(at, 1)\nprint(peek(8))\n',
    )
    await repair(project, ['--rounds', '1', '--with', `cat > ${kept}`])
    const { failure } = JSON.parse(readFileSync(kept, 'utf8')) as RepairBundle
    expect(failure).toMatchObject({ kind: 'signal', exit: { signal: 'SIGSEGV' } })
    expect(failure.stack).toMatch(/Fatal Python error: Segmentation fault[\s\S]*line 4 in peek/)
    expect(failure.stack).not.toContain('thaw_agent')
    if (gdb) expect(failure.stack).toMatch(/received signal SIGSEGV[\s\S]*\n#0 /)
    else console.error('tests/repair: no gdb here, so native backtraces are not tested')
  })

  it('asks a program that hangs where it stands, and ends it', async () => {
    const project = faulty('hang')
    const kept = join(home.directory, 'hang.json')
    project.write(
      'job.py',
      'def spin(step):\n    turns = 0\n    while turns >= 0:\n        turns += step\nspin(2)\n',
    )
    const done = await repair(project, ['--time-limit', '1s', '--rounds', '1', '--with', `cat > ${kept}`])
    expect(done.code).toBe(124)
    const { failure } = JSON.parse(readFileSync(kept, 'utf8')) as RepairBundle
    expect(failure.kind).toBe('hang')
    const inner = failure.exceptions[0]?.frames.at(-1)
    expect(inner).toMatchObject({ file: 'job.py', function: 'spin', locals: { step: '2' } })
    expect([3, 4]).toContain(inner?.line)
  })

  it('repairs programs that it cannot resume too: a failing test of node', async () => {
    const project = faulty('node')
    project.write('sum.mjs', 'export const sum = (a, b) => a - b\n')
    project.write(
      'sum.test.mjs',
      "import test from 'node:test'\nimport { equal } from 'node:assert'\nimport { sum } from './sum.mjs'\ntest('adds numbers', () => equal(sum(2, 3), 5))\n",
    )
    const kept = join(home.directory, 'node.json')
    const script = `cat > ${kept}; sed -i 's/a - b/a + b/' sum.mjs`
    const done = await repair(project, ['--with', script], [process.execPath, '--test', 'sum.test.mjs'])
    expect(done, done.stderr).toMatchObject({ code: 0, report: { outcome: 'repaired', files: ['sum.mjs'] } })
    const { failure } = JSON.parse(readFileSync(kept, 'utf8')) as RepairBundle
    expect(failure).toMatchObject({ kind: 'test', tests: [{ id: 'adds numbers' }] })
    expect(failure.tests[0]?.message).toMatch(/sum\.test\.mjs:4[\s\S]*-1 [=!]==? 5/)
  })

  const TESTED = `import unittest

def half(number):
    password = "hunter2hunter2"
    return number / 0

class Halves(unittest.TestCase):
    def test_half(self):
        self.assertEqual(half(4), 2)

    def test_whole(self):
        self.assertEqual(4, 4)
`
  it.each([
    ['pytest', ['pytest', '-q', 'test_half.py'], 'test_half.py::Halves::test_half'],
    ['unittest', ['unittest', 'test_half'], 'test_half (test_half.Halves.test_half)'],
  ])('tells where a test stood that fails: %s', async (name, command, id) => {
    const project = faulty(`tests-${name}`)
    project.write('test_half.py', TESTED)
    const kept = join(home.directory, `${name}.json`)
    const script = `cat > ${kept}; sed -i s,/.0,/2, test_half.py`
    const done = await repair(project, ['--with', script], ['--', 'python3', '-m', ...command])
    expect(done, done.stderr).toMatchObject({ code: 0, report: { outcome: 'repaired' } })
    const { failure } = JSON.parse(readFileSync(kept, 'utf8')) as RepairBundle
    expect(failure).toMatchObject({ kind: 'test', tests: [{ id }] })
    const [error] = failure.tests[0]?.exceptions ?? []
    expect(error).toMatchObject({ type: 'ZeroDivisionError' })
    expect(error?.frames.at(-1)).toMatchObject({
      file: 'test_half.py',
      function: 'half',
      line: 5,
      locals: { number: '4', password: '<masked>' },
    })
  })

  it('ends at Ctrl-C, with the files as before', async () => {
    const project = faulty('interrupted')
    const asked = join(home.directory, 'asked')
    const started = home.start(['repair', '--with', `touch ${asked}; echo >> job.py; sleep 100`, 'job.py'], {
      cwd: project.directory,
    })
    await until('the question', () => existsSync(asked), 30)
    started.child.kill('SIGINT')
    const done = await started.ended
    expect(done.code).toBe(1)
    expect(done.stderr).toMatch(/it was interrupted/)
    expect(project.read('job.py')).toBe(FAULTY)
  })

  it('ends with the daemon, with the files as before', async () => {
    const project = faulty('stopped')
    project.write('job.py', 'import time\nprint("on", flush=True)\ntime.sleep([0][0])\n')
    const script = 'sed -i s/.0..0./60/ job.py; sed -i s/60/60/ job.py'
    const started = home.start(['repair', '--check', 'false', '--with', script, 'job.py'], {
      cwd: project.directory,
    })
    await until('the second attempt', () => project.read('job.py').includes('60'), 30)
    const before = Date.now()
    await home.run(['daemon', 'stop', '--force'])
    await started.ended
    expect(Date.now() - before).toBeLessThan(9000)
    expect(project.read('job.py')).toContain('sleep([0][0])')
  })

  it('lets a program over the API be the repairer', async () => {
    const project = faulty('caller')
    const socket = join(home.env['THAW_HOME'] ?? '', 'run', 'daemon.sock')
    await home.run(['daemon', 'start'])
    let shown = ''
    const questions: RepairBundle[] = []
    const stream = await RunStream.open(
      socket,
      '/v1/repairs/stream',
      {
        run: { command: ['python3', 'job.py'], cwd: project.directory, env: home.env },
        repairer: { kind: 'caller' },
      },
      {
        onStdout: (chunk) => void (shown += Buffer.from(chunk).toString()),
        onQuestion: ({ bundle }) => {
          questions.push(bundle)
          stream.answer({ diff: questions.length === 1 ? 'no diff' : DIFF })
        },
      },
    )
    const end = await stream.done
    expect(end.t === 'repaired' && end.report).toMatchObject({ outcome: 'repaired', files: ['job.py'] })
    expect(questions.map(({ tried }) => tried.length)).toEqual([0, 1])
    expect(shown).toBe('loading\n7\n')
  })

  it('keeps checkpoints and the log where -D says', async () => {
    const project = faulty('where')
    const place = join(home.directory, 'w')
    const done = await repair(project, [
      '-D',
      place,
      '-l',
      'repair.log',
      '-m',
      '3',
      '-v',
      ...says(project, DIFF),
    ])
    expect(done, done.stderr).toMatchObject({ code: 0 })
    expect(readFileSync(join(place, 'repair.log'), 'utf8')).toMatch(/repair 1: KeyError/)
    expect(existsSync(join(place, 'state', 'repairs'))).toBe(true)
    const undone = await home.run(['repair', 'undo', '-D', place], { cwd: project.directory })
    expect(undone.code, undone.stderr).toBe(0)
    expect(project.read('job.py')).toBe(FAULTY)
    await home.run(['daemon', 'stop', '--force'], { env: { THAW_HOME: place } })
  })

  it('verifies the repaired program with a cold run', async () => {
    const project = faulty('verified')
    const done = await repair(project, ['--verify', ...says(project, DIFF)])
    expect(done, done.stderr).toMatchObject({ code: 0, report: { verify: { verdict: 'equal' } } })
  })
})

describe('a repairer that cannot be trusted', () => {
  const refused: [string, string, RegExp][] = [
    ['nothing', '', /empty/],
    ['prose', 'I would not know.\n', /no unified diff/],
    [
      'another text',
      DIFF.replace('"amount"', '"nothing"').replace('-    return', '-    retort'),
      /does not fit job\.py/,
    ],
    ['a path outside', DIFF.replaceAll('job.py', '../job.py'), /outside of the project/],
    [
      'an absolute path',
      DIFF.replace('a/job.py', '/etc/passwd').replace('b/job.py', '/etc/passwd'),
      /not a path relative/,
    ],
    ['a removal', DIFF.replace('+++ b/job.py', '+++ /dev/null'), /removes job\.py/],
    ['what git keeps', DIFF.replaceAll('job.py', '.git/config'), /not the project's own/],
    ['no Python', DIFF.replace('item["price"]', 'item["price"'), /does not compile: SyntaxError/],
    ['a link that leads out', DIFF.replaceAll('job.py', 'out/job.py'), /leads out of the project/],
  ]
  it.each(refused)('is refused: %s', async (what, answer, why) => {
    const project = faulty(`refused ${what}`.replaceAll(' ', '-'))
    symlinkSync(home.directory, project.path('out'))
    const before = project.files()
    const done = await repair(project, says(project, answer))
    expect(done.code).toBe(1)
    expect(done.report).toMatchObject({ outcome: 'failed', files: [], tried: [{ outcome: 'refused' }] })
    expect(done.report.tried[0]?.detail).toMatch(why)
    expect(project.files()).toEqual(before)
  })

  const bounded: [string, string, string[], RegExp][] = [
    ['deletes the project', 'rm -rf ./* && touch new', [], /it removes/],
    ['writes into the project by its own path', 'echo > "$PWD/job.py"; rm job.py', [], /it removes/],
    ['prints without an end', 'yes', [], /printed more than/],
    ['is slow', 'sleep 60', ['--answer-time', '1s'], /took more than 1 s/],
    ['fails', 'echo broken >&2; exit 3', [], /ended with code 3: broken/],
    ['changes too much', 'seq 1000 > new.txt', ['--max-lines', '100'], /1000 lines; 100 are allowed/],
    ['puts a link in a file’s place', 'ln -sf /etc/passwd job.py', [], /not a regular file/],
  ]
  it.each(bounded)('is bounded: it %s', async (what, command, options, why) => {
    const project = faulty(`bounded ${what}`.replaceAll(/\W+/g, '-'))
    const before = project.files()
    const done = await repair(project, ['--rounds', '1', ...options, '--with', command])
    expect(done.code).toBe(1)
    expect(done.report.tried[0]?.detail).toMatch(why)
    expect(project.files()).toEqual(before)
  })

  it('takes back what did not help, tells of it, and leaves the files as they were', async () => {
    const project = faulty('useless')
    const kept = join(home.directory, 'useless.json')
    const done = await repair(project, ['--rounds', '2', '--with', `cat > ${kept}; echo '# new' >> job.py`])
    expect(done.code).toBe(1)
    expect(done.report.tried.map(({ outcome }) => outcome)).toEqual(['taken back', 'taken back'])
    expect((JSON.parse(readFileSync(kept, 'utf8')) as RepairBundle).tried).toMatchObject([
      { round: 1, outcome: 'taken back', detail: 'it fails as before' },
    ])
    expect(project.read('job.py')).toBe(FAULTY)
    expect(done.stderr).toMatch(/not repaired.*not after 2 rounds.*files as before/)
  })
})
