import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Home } from '../support/home.js'
import { whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

const PROGRAM = `
import os, resource, sys
def tell():
    limits = [(name, resource.getrlimit(getattr(resource, "RLIMIT_" + name))) for name in ("NOFILE", "CORE", "STACK", "DATA")]
    print(limits, os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), flush=True)
tell()
print("here", flush=True)
import time; time.sleep(0.6)
tell()
`

describe.skipIf(why !== null)('a program in a sandbox', () => {
  let home: Home
  beforeAll(() => {
    home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
    home.write('app.py', PROGRAM)
    // A daemon of the test's own limits, not of those that a test gives.
    home.shell('"$THAW" run -q true')
  })
  afterAll(() => home[Symbol.asyncDispose]())

  const cpu = /Cpus_allowed_list:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'

  it.each([
    ['nothing', ''],
    ['soft limits', 'ulimit -Sn 100; ulimit -Ss 4096;'],
    ['hard limits', 'ulimit -n 100; ulimit -c 0; ulimit -d 3000000;'],
    ['a nice value', 'nice -n 5'],
    ['one processor', `taskset -c ${cpu}`],
  ])('runs under its caller’s, from the start and from a checkpoint: %s', (_, before) => {
    const plain = home.shell(`${before} python3 app.py`)
    expect(plain.code).toBe(0)
    const [first = '', second = ''] = plain.stdout.split('here\n')
    const stopped = home.shell(`${before} "$THAW" run --break-output here python3 app.py </dev/null`)
    expect(stopped).toMatchObject({ code: 0, stdout: `${first}here\n` })
    // Whatever the limits of the one who resumes it.
    expect(home.shell('"$THAW" resume last </dev/null')).toMatchObject({ code: 0, stdout: second })
  })
})
