import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Home } from '../support/home.js'

const PROGRAM = `
import mmap, os, resource
for name in ("NOFILE", "AS", "CORE", "STACK"):
    print(name, resource.getrlimit(getattr(resource, "RLIMIT_" + name)))
print(os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)))
try:
    mmap.mmap(-1, 3 << 30, flags=mmap.MAP_PRIVATE).close()
    print("enough")
except OSError:
    print("too much")
`

let home: Home
beforeAll(() => {
  home = new Home()
  home.write('app.py', PROGRAM)
  // A daemon of the test's own limits, not of those that a test gives.
  home.shell('"$THAW" run -q true')
})
afterAll(() => home[Symbol.asyncDispose]())

const cpu = /Cpus_allowed_list:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'

/** The command line with and without thaw, under what `before` sets. */
function both(before: string) {
  return {
    plain: home.shell(`${before} python3 app.py`),
    thawed: home.shell(`${before} "$THAW" run python3 app.py`),
  }
}

test.each([
  ['nothing', ''],
  ['a soft limit on open files', 'ulimit -Sn 100;'],
  ['a limit on open files', 'ulimit -n 100;'],
  ['a limit on address space', 'ulimit -v 3000000;'],
  ['a limit on core files', 'ulimit -c 0;'],
  ['a nice value', 'nice -n 5'],
  ['one processor', `taskset -c ${cpu}`],
])('a program runs under its caller’s: %s', (_, before) => {
  const { plain, thawed } = both(before)
  expect(plain.code).toBe(0)
  expect(thawed).toMatchObject({ code: 0, stdout: plain.stdout })
})

test('a run is replayed under the same limits, and cold under others', () => {
  expect(home.shell('ulimit -n 200; "$THAW" run python3 app.py').stderr).toContain('ran cold')
  expect(home.shell('ulimit -n 200; "$THAW" run python3 app.py').stderr).toContain('replayed')
  const other = home.shell('ulimit -n 300; "$THAW" run python3 app.py')
  expect(other.stderr).toContain('the limit on open files (ulimit) is not the same')
  expect(other.stdout).toContain('NOFILE (300, 300)')
})

test('commands that are not Python have them as well', () => {
  expect(home.shell('ulimit -n 123; "$THAW" run -q sh -c "ulimit -n"').stdout).toBe('123\n')
})

test('Python programs below others have them, and are runs of their own', () => {
  home.write('job', 'python3 app.py\n')
  const plain = home.shell('ulimit -Sn 150; nice -n 3 sh job')
  const thawed = home.shell('ulimit -Sn 150; nice -n 3 "$THAW" run --report r.json sh job </dev/null')
  expect(thawed.stdout).toBe(plain.stdout)
  const { below } = JSON.parse(readFileSync(`${home.project}/r.json`, 'utf8')) as { below: unknown }
  expect(below).toMatchObject([{ outcome: 'cold', reason: expect.anything() as unknown }])
})

test('a daemon that was started under narrower limits says so', async () => {
  await using narrow = new Home()
  narrow.write('app.py', PROGRAM)
  expect(narrow.shell('ulimit -n 1000; "$THAW" run -q true').code).toBe(0)
  const hard = narrow.shell('ulimit -Sn 500; "$THAW" run python3 app.py')
  const privileged = spawnSync('sh', ['-c', 'ulimit -n 1000; ulimit -n 2000']).status === 0
  if (privileged) return
  expect(hard.stderr).toContain("its hard limit on open files is the daemon's (1000)")
  expect(hard.stdout).toContain('NOFILE (500, 1000)')
  const soft = narrow.shell('ulimit -Sn 1500; "$THAW" run python3 app.py')
  expect(soft.code).toBe(125)
  expect(soft.stderr).toContain('LIMITS_NOT_GIVEN: The limit on open files is 1500 here')
})
