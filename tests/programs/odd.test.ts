import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'
import { Project, WORK } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.asyncDispose]())

const PYTHON = ['python3', 'app.py']

/** Programs that do what few do. Each must look the same under thaw, run for the first time and again. */
const PROGRAMS: Record<string, string> = {
  'forks and waits': `
import os
print("parent", flush=True)
pid = os.fork()
if pid == 0:
    work()
    print("child", flush=True)
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
def after():
    print("after")
work()
after()
try:
    os.wait()
except ChildProcessError:
    print("no other child")
`,
  'forks a child that ends as Python does': `
import os, sys, atexit
atexit.register(lambda: print("bye", flush=True))
pid = os.fork()
if pid == 0:
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
`,
  'uses multiprocessing with fork': `
import multiprocessing
def square(n):
    return n * n
def main():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(square, range(5)))
main()
`,
  'becomes another program': `
import os, sys
work()
def go():
    print("going", flush=True)
    os.execvp("sh", ["sh", "-c", "echo gone; exit 6"])
go()
`,
  'has finalizers that run after everything else': `
class Late:
    def __del__(self):
        print("late", helper())
def helper():
    return "helped"
def fail():
    raise ValueError("the traceback keeps the frames, and these the module")
late = Late()
work()
fail()
`,
  'becomes Python again': `
import os, sys
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, __file__, "again"])
def tell():
    print("second life", sys.argv[1:])
work()
tell()
`,
  'ends by SIGSEGV': `
import ctypes
print("before", flush=True)
work()
def crash():
    ctypes.string_at(0)
crash()
`,
  aborts: `
import os
print("before", flush=True)
os.abort()
`,
  'ends at once, without a clean-up': `
import os, atexit
atexit.register(lambda: print("never"))
print("lost in the buffer")
os.write(1, b"written\\n")
os._exit(9)
`,
  'kills itself by a signal': `
import os, signal
print("before", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
work(5)
`,
  'closes every descriptor above 2': `
import os
work()
def close():
    os.closerange(3, 4096)
close()
work()
def after():
    with open("note", "w") as f:
        f.write("x")
    print(f.fileno if False else sorted(os.listdir(".")))
after()
`,
  'closes every descriptor': `
import os
print("before", flush=True)
work()
os.closerange(0, 4096)
work()
def after():
    fd = os.open("result", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"%d" % fd)
after()
os._exit(4)
`,
  'closes stdin and stdout': `
import sys
sys.stdin.close()
print("before")
sys.stdout.close()
work()
def after():
    print("to stderr", file=sys.stderr)
after()
`,
  'goes through directories': `
import os
os.makedirs("deep/er", exist_ok=True)
os.chdir("deep")
work()
def first():
    open("one", "w").write("1")
first()
os.chdir("er")
work()
def second():
    open("two", "w").write("2")
    print(os.getcwd()[-8:], os.listdir(".."))
second()
`,
  'prints bytes that are no text': `
import sys
sys.stdout.buffer.write(b"\\xff\\xfe\\x80 no utf-8 \\xc3\\n")
sys.stdout.buffer.flush()
work()
def more():
    sys.stderr.buffer.write(b"\\xed\\xa0\\x80\\n")
    sys.stdout.buffer.write(b"\\0\\r\\n\\x1b[0m\\n")
more()
`,
  'prints 5 MB of binary': `
import sys
def half(n):
    sys.stdout.buffer.write(bytes((i * n) % 256 for i in range(65536)) * 38)
half(7)
work()
def other():
    half(11)
other()
`,
  'raises what nobody catches': `
def fail():
    raise ValueError("\\udcff and \\u20ac")
work()
fail()
`,
  'ends by a long chain of exceptions': `
def deep(n):
    return deep(n - 1) if n else 1 / 0
work()
try:
    deep(30)
except ZeroDivisionError as e:
    raise KeyError("outer") from e
`,
  'recurses too deeply': `
import sys
def deep(n):
    return deep(n + 1)
work()
try:
    deep(0)
except RecursionError as e:
    print(e)
`,
  'sets handlers and ignores SIGTERM': `
import signal, os
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, lambda *a: print("usr1"))
work()
def after():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGUSR1)
    print("alive")
after()
`,
}

describe('the same as without thaw, twice, is a program that', () => {
  it.for(Object.entries(PROGRAMS))('%s', async ([name, text], { expect: check }) => {
    const project = new Project(home, name.replaceAll(' ', '-'))
    project.write('app.py', WORK + text)
    const shown = (done: { code: number | null; stdout: string; stderr: string }) => ({
      code: done.code,
      stdout: done.stdout,
      stderr: done.stderr,
    })
    const plain = project.plain(PYTHON)
    // A shell says 128+n where the program was ended by a signal.
    const signals: Record<string, number> = { SIGSEGV: 139, SIGABRT: 134, SIGTERM: 143 }
    const wanted = { ...shown(plain), code: plain.code ?? signals[plain.signal ?? ''] ?? null }
    const files = project.files()
    const first = await project.run(PYTHON)
    check(shown(first)).toEqual(wanted)
    check(project.files()).toEqual(files)
    const second = await project.run(PYTHON)
    check(shown(second)).toEqual(wanted)
    check(project.files()).toEqual(files)
    check(first.report.exit).toEqual({ code: plain.code, signal: plain.signal })
    check(second.report.exit).toEqual(first.report.exit)
    // No call may have waited for something that never came.
    check(first.report.seconds.program).toBeLessThan(2)
  })
})

it('a program that ends, or closes its descriptors, before anyone has looked runs once', async () => {
  const ends = ['os._exit(0)', 'os.closerange(3, 4096)', 'os.kill(os.getpid(), 9)']
  const projects = [...ends, ...ends].map((end, n) => {
    const project = new Project(home, `at-once-${n}`)
    project.write('app.py', `import os\nos.write(1, b"once ")\n${end}\n`)
    return project
  })
  for (let n = 0; n < 3; n++) {
    const all = await Promise.all(projects.map((project) => project.run(PYTHON)))
    expect(all.map(({ stdout, stderr }) => stdout + stderr)).toEqual(all.map(() => 'once '))
  }
})

describe('what a program leaves running', () => {
  it('does not delay the end with a terminal either', async () => {
    const done = await home.run(['run', '-q', '-t', 'sh', '-c', 'trap "" HUP; sleep 3 & echo on'], {
      cwd: new Project(home, 'terminal').directory,
    })
    expect(done).toMatchObject({ code: 0, stdout: 'on\r\n' })
    await until('it lives on', () => home.processes().some((pid) => commandOf(pid) === 'sleep 3'), 2)
  })

  it('lives on, does not delay the end, and ends with nothing of thaw left', async () => {
    await using own = new Home()
    const project = new Project(own, 'daemon')
    project.write(
      'app.py',
      `${WORK}
import os, subprocess, time
subprocess.Popen(["sh", "-c", "while [ ! -e speak ]; do sleep 0.02; done; echo late; touch spoken; "
                  "while [ ! -e go ]; do sleep 0.02; done; touch child"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while not os.path.exists("go"):
            time.sleep(0.02)
        open("daemon", "w").close()
    os._exit(0)
os.wait()
print("done")
`,
    )
    const done = await project.run(PYTHON)
    expect(done).toMatchObject({ code: 0, stdout: 'done\n', stderr: '' })
    expect(done.report.seconds.program).toBeLessThan(2)
    // What it prints now reaches nobody, and does not end it.
    project.write('speak', '')
    await until('the child has gone on', () => existsSync(project.path('spoken')))
    await own.run(['daemon', 'stop', '--force'])
    await until('only what the program started is left', () => own.processes().length === 2)
    project.write('go', '')
    await until(
      'both have gone on',
      () => existsSync(project.path('child')) && existsSync(project.path('daemon')),
    )
    await until('nothing is left', () => own.processes().length === 0)
  })

  it('is ended with the program where thaw kills it', async () => {
    await using own = new Home()
    const project = new Project(own, 'killed')
    project.write(
      'app.py',
      `import signal, subprocess, time
signal.signal(signal.SIGINT, lambda *_: print("caught", flush=True))
subprocess.Popen(["sleep", "60"], start_new_session=True)
print("on", flush=True)
time.sleep(60)
`,
    )
    const one = project.start(PYTHON)
    await until('it runs', () => one.text('stdout').includes('on'))
    one.child.kill('SIGINT')
    await until('it has caught the first', () => one.text('stdout').includes('caught'))
    one.child.kill('SIGINT')
    expect((await one.ended).code).toBe(137)
    await own.run(['daemon', 'stop', '--force'])
    await until('nothing is left', () => own.processes().length === 0)
  })
})

describe('a program that ignores SIGTERM', () => {
  it('is killed by thaw stop', async () => {
    const project = new Project(home, 'stubborn')
    project.write(
      'app.py',
      'import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint("on", flush=True)\ntime.sleep(60)\n',
    )
    const one = project.start(PYTHON)
    await until('it runs', () => one.text('stdout').includes('on'))
    const run = (await home.json<{ id: string; state: string }[]>(['ls'])).find(
      ({ state }) => state === 'live',
    )
    await home.run(['stop', run?.id ?? ''])
    expect((await one.told).report.exit).toEqual({ code: null, signal: 'SIGKILL' })
  })
})

describe('stdin', () => {
  const READER = `${WORK}
import sys
first = sys.stdin.buffer.readline()
print(len(first), flush=True)
work()
def rest():
    data = sys.stdin.buffer.read()
    print(len(data), sum(data))
rest()
`
  it('is read to the end again when the program resumes in the middle of it', async () => {
    const project = new Project(home, 'stdin')
    project.write('app.py', READER)
    const input = Buffer.concat([
      Buffer.from('line\n'),
      Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 31) % 256)),
    ])
    const first = await project.run(PYTHON, { input })
    expect(first).toMatchObject({ ...project.plain(PYTHON, { input }), report: { outcome: 'cold' } })
    project.edit('app.py', 'print(len(data), sum(data))', 'print(sum(data), len(data))')
    const second = await project.run(PYTHON, { input })
    expect(second).toMatchObject({ ...project.plain(PYTHON, { input }), report: { outcome: 'resumed' } })
    // What had been read is as before, what comes after is not.
    const other = Buffer.concat([input.subarray(0, 200_000), Buffer.from('another end')])
    const third = await project.run(PYTHON, { input: other })
    expect(third).toMatchObject(project.plain(PYTHON, { input: other }))
    const changed = Buffer.concat([Buffer.from('another line\n'), input])
    expect(await project.run(PYTHON, { input: changed })).toMatchObject(
      project.plain(PYTHON, { input: changed }),
    )
  })

  it('from a file, from nothing and from a terminal-less pipe that stays open', async () => {
    const project = new Project(home, 'stdin-kinds')
    project.write('app.py', READER)
    project.write('data', 'one\ntwo\n')
    const script = 'cd stdin-kinds; thaw run -q python3 app.py < data; thaw run -q python3 app.py < /dev/null'
    expect(home.shell(script).stdout).toBe('4\n4 356\n0\n0 0\n')
    project.write('line.py', 'import sys\nprint(sys.stdin.readline())\n')
    const one = project.start(['python3', 'line.py'], { input: null })
    one.child.stdin.write('a line\n')
    // It ends although its stdin never does.
    expect(await one.told).toMatchObject({ code: 0, stdout: 'a line\n\n' })
    const again = project.start(['python3', 'line.py'], { input: null })
    again.child.stdin.write('b line\n')
    expect(await again.told).toMatchObject({ code: 0, stdout: 'b line\n\n' })
  })

  it('that nobody reads is no input', async () => {
    const project = new Project(home, 'stdin-unread')
    project.write('app.py', 'print("x")\n')
    await project.run(PYTHON, { input: 'one' })
    expect((await project.run(PYTHON, { input: 'two' })).report.outcome).toBe('replayed')
  })
})

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}

/** A small file system of its own for THAW_HOME, where that is allowed. */
function mountSmall(home: Home): boolean {
  mkdirSync(home.env['THAW_HOME'] as string)
  const command = ['-t', 'tmpfs', '-o', 'size=4m,mode=0700', 'tmpfs', home.env['THAW_HOME'] as string]
  return process.getuid?.() === 0 && spawnSync('mount', command).status === 0
}

it('a full disk harms neither the program nor the runs after it', async ({ skip }) => {
  await using own = new Home()
  if (!mountSmall(own)) skip('only root can mount a small file system')
  try {
    const project = new Project(own, 'full')
    project.write(
      'app.py',
      `${WORK}\nimport sys\nfor n in range(128):\n    sys.stdout.write("x" * 65536)\n\ndef end():\n    print("end")\nwork()\nend()\n`,
    )
    const first = await project.run(PYTHON)
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout.length).toBe(128 * 65536 + 4)
    const second = await project.run(PYTHON)
    expect(second.code).toBe(0)
    expect(second.stdout === first.stdout).toBe(true)
    expect(second.report.outcome).not.toBe('replayed')
    // Not one byte is left for a run's directory.
    const full = spawnSync('dd', ['if=/dev/zero', `of=${own.env['THAW_HOME']}/filler`, 'bs=4k'])
    expect(full.status).toBe(1)
    const third = await own.run(['run', 'echo', 'on'], { cwd: project.directory })
    if (third.code !== 0) expect(third.stderr).toMatch(/^thaw: DISK_FULL: /)
    else expect(third.stdout).toBe('on\n')
    rmSync(`${own.env['THAW_HOME']}/filler`)
    await own.run(['gc'])
    for (const { id } of await own.json<{ id: string }[]>(['ls'])) await own.run(['rm', id])
    expect(await own.run(['run', '-q', 'echo', 'again'])).toMatchObject({
      code: 0,
      stdout: 'again\n',
      stderr: '',
    })
  } finally {
    await own.run(['daemon', 'stop', '--force'])
    spawnSync('umount', ['-l', own.env['THAW_HOME'] as string])
  }
})

it('the disk being full while output is recorded does not harm the program', async () => {
  // A limit on the size of files stands in for a full disk: writing fails in the same place. A soft one, above which the program may go.
  // With a checkpoint behind the output, which is then not the one to go on from.
  await using own = new Home({ THAW_FACTOR: '0.5' })
  const project = new Project(own, 'full')
  project.write(
    'app.py',
    `${WORK}\nimport sys\nfor n in range(64):\n    sys.stdout.write("x" * 65536)\nwork()\ndef last():\n    print("end")\nlast()\n`,
  )
  const started = own.shell('ulimit -Sf 2048; trap "" XFSZ; exec 2>&1; thaw daemon start')
  expect(started.code).toBe(0)
  const first = await project.run(PYTHON)
  expect(first.code).toBe(0)
  expect(first.stdout.length).toBe(64 * 65536 + 4)
  const second = await project.run(PYTHON)
  expect(second.code).toBe(0)
  // Not by toBe, which would print all of it.
  expect(second.stdout === first.stdout).toBe(true)
  expect(second.report.outcome).not.toBe('replayed')
  expect(second.report.reason).toMatch(/could not be recorded \(EFBIG\)/)
})
