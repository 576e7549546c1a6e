import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, until } from '../support/home.js'

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.asyncDispose]())

describe('exit codes', () => {
  it('are those of the program', async () => {
    expect(await home.run(['run', '-q', 'sh', '-c', 'echo out; echo err >&2; exit 3'])).toEqual({
      code: 3,
      signal: null,
      stdout: 'out\n',
      stderr: 'err\n',
    })
  })

  it('are 128+n for a signal', async () => {
    expect((await home.run(['run', '-q', 'sh', '-c', 'kill -9 $$'])).code).toBe(137)
  })

  it('are 127 for an unknown command', async () => {
    const done = await home.run(['run', 'no-such-command-here'])
    expect(done.code).toBe(127)
    expect(done.stderr).toMatch(/^thaw: COMMAND_NOT_FOUND: .*no-such-command-here/)
  })

  it('are 126 for a file that is not executable', async () => {
    home.write('plain.txt', 'no program\n')
    const done = await home.run(['run', './plain.txt'])
    expect(done.code).toBe(126)
    expect(done.stderr).toMatch(/^thaw: NOT_EXECUTABLE: /)
  })

  it('are 125 for wrong arguments and settings', async () => {
    expect((await home.run(['run', '--no-such'])).stderr).toMatch(/^thaw: USAGE: /)
    expect((await home.run(['run'])).code).toBe(125)
    home.write('thaw.toml', 'efects = "keep"\n')
    const done = await home.run(['run', 'true'])
    expect(done.code).toBe(125)
    expect(done.stderr).toMatch(/^thaw: INVALID_SETTING: .*thaw\.toml:1: unknown setting efects/)
    home.write('thaw.toml', '')
  })

  it('are 125 in a directory that is gone', async () => {
    const gone = join(home.project, 'gone')
    mkdirSync(gone)
    const script = `cd "${gone}" && rmdir "${gone}" && thaw run true`
    expect(home.shell(script)).toMatchObject({ code: 125, stderr: expect.stringMatching(/DIRECTORY_GONE/) })
    expect(() => rmdirSync(gone)).toThrow()
  })
})

describe('the last line', () => {
  it('says what was done, and -q keeps it away', async () => {
    const done = await home.run(['run', 'true'])
    expect(done.stderr).toMatch(/^thaw: .*\n$/)
    expect((await home.run(['run', '-q', 'true'])).stderr).toBe('')
    expect((await home.run(['run', 'true'], { env: { THAW_QUIET: '1' } })).stderr).toBe('')
  })

  it('and --report tell the same', async () => {
    const file = join(home.project, 'report.json')
    const done = await home.run(['run', '--report', file, 'sh', '-c', 'exit 4'])
    expect(done.code).toBe(4)
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      outcome: 'cold',
      exit: { code: 4, signal: null },
    })
  })

  it('refuses a report that cannot be written, before anything runs', async () => {
    const done = await home.run(['run', '--report', '/no/such/dir/r.json', 'touch', 'ran'])
    expect(done.stderr).toMatch(/^thaw: REPORT_UNWRITABLE: /)
    expect(() => readFileSync(join(home.project, 'ran'))).toThrow()
  })
})

describe('stdin', () => {
  it('is passed on from a pipe, a file, a late writer and an empty one', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 7919) % 256))
    const file = join(home.project, 'bytes')
    writeFileSync(file, bytes)
    expect(
      home.shell(`thaw run -q cat < bytes | cmp - bytes && cat bytes | thaw run -q cat | cmp - bytes`).code,
    ).toBe(0)
    expect(home.shell('(sleep 0.3; echo late) | thaw run -q cat').stdout).toBe('late\n')
    expect(home.shell(': | thaw run -q cat; thaw run -q cat < /dev/null; thaw run -q cat <&-').stdout).toBe(
      '',
    )
  })

  it('can be opened anew by its name after its end', async () => {
    home.write('named.py', 'import sys\nprint(open("/dev/stdin").read(), repr(sys.stdin.read()))\n')
    const command = 'echo words | timeout 20 thaw run -q python3 named.py'
    expect(home.shell(command)).toMatchObject({ code: 0, stdout: "words\n ''\n" })
    expect(home.shell('echo words | timeout 20 thaw run -q cat /dev/stdin').stdout).toBe('words\n')
  })
})

describe('stdout', () => {
  it('passes binary output untouched', () => {
    home.write('binary.py', 'import sys\nsys.stdout.buffer.write(bytes(range(256)) * 1000)\n')
    expect(home.shell('thaw run -q python3 binary.py | md5sum; python3 binary.py | md5sum').stdout).toMatch(
      /^(\w+)  -\n\1  -\n$/,
    )
  })

  it('breaks as under a shell when its reader goes', () => {
    const script =
      'thaw run -q sh -c "while echo y; do :; done 2>/dev/null; exit 9" | head -2; echo ${PIPESTATUS[0]}'
    expect(home.shell(script).stdout).toMatch(/^y\ny\n(9|141)\n$/)
  })

  it('keeps the order of both streams where they are the same file', () => {
    const script =
      'thaw run -q sh -c "for n in 1 2 3 4 5; do echo out\\$n; echo err\\$n >&2; done" > both 2>&1; cat both'
    expect(home.shell(script).stdout).toBe([1, 2, 3, 4, 5].map((n) => `out${n}\nerr${n}\n`).join(''))
  })
})

describe('signals', () => {
  it('passes the first Ctrl-C on', async () => {
    const one = home.start([
      'run',
      '-q',
      'sh',
      '-c',
      'trap "echo caught; exit 7" INT; echo ready; while :; do sleep 0.05; done',
    ])
    await until('the program is ready', () => one.text('stdout').includes('ready'))
    one.child.kill('SIGINT')
    expect(await one.ended).toMatchObject({ code: 7, stdout: 'ready\ncaught\n' })
  })

  it('kills at the second', async () => {
    const one = home.start([
      'run',
      '-q',
      'sh',
      '-c',
      'trap "echo caught" INT; echo ready; while :; do sleep 0.05; done',
    ])
    await until('the program is ready', () => one.text('stdout').includes('ready'))
    one.child.kill('SIGINT')
    await until('the program has caught it', () => one.text('stdout').includes('caught'))
    one.child.kill('SIGINT')
    expect((await one.ended).code).toBe(137)
  })

  it('stops the run when the terminal closes, and when the client is killed', async () => {
    for (const signal of ['SIGHUP', 'SIGKILL'] as const) {
      const one = home.start(['run', '-q', 'sh', '-c', 'echo $$; sleep 60'])
      await until('the program runs', () => one.text('stdout').includes('\n'))
      const pid = Number(one.text('stdout'))
      one.child.kill(signal)
      await one.ended
      await until(`the program ends after ${signal}`, () => !home.processes().includes(pid))
    }
  })
})

describe('other verbs', () => {
  it('list, show and draw what was run', async () => {
    await home.run(['run', '-q', 'sh', '-c', 'echo kept'])
    const runs = await home.json<{ id: string; command: string[] }[]>(['ls'])
    const run = runs.find((one) => one.command.at(-1) === 'echo kept')
    expect(run).toBeDefined()
    const id = run?.id ?? ''
    expect((await home.run(['ls'])).stdout).toContain(id)
    expect((await home.run(['show', id])).stdout).toContain('echo kept')
    expect((await home.run(['tree', id])).stdout).toContain(id)
    expect((await home.run(['logs', id])).stdout).toBe('kept\n')
    expect(await home.json(['rm', id])).toMatchObject({ removed: expect.arrayContaining([id]) })
    const gone = await home.run(['show', id])
    expect(gone).toMatchObject({ code: 125, stderr: expect.stringMatching(/^thaw: RUN_NOT_FOUND: /) })
  })

  it('shorten ids, name the nearest, and tell ambiguous ones', async () => {
    await home.run(['run', '-q', 'true'])
    const [run] = await home.json<{ id: string }[]>(['ls'])
    const id = run?.id ?? ''
    expect((await home.run(['show', id.slice(0, -2)])).code).toBe(0)
    expect((await home.run(['show', `${id.slice(0, -1)}#`])).stderr).toContain(`Nearest: ${id}`)
    const far = await home.run(['show', `r_${id[2] === 'z' ? 'y' : 'z'}nothing`])
    expect(far.stderr).toMatch(/RUN_NOT_FOUND: There is no run r_[yz]nothing\. `thaw ls`/)
    expect((await home.run(['show', 'r_'])).stderr).toMatch(/AMBIGUOUS_ID|^$/)
  })

  it('tell of checkpoints and branches in words', async () => {
    home.write('told.py', 'import time\ndef work():\n    time.sleep(0.1)\nwork()\n')
    await home.run(['run', '-q', '--break', 'told.py:work', 'python3', 'told.py'])
    const tree = await home.json<{
      branches: { id: string }[]
      checkpoints: { id: string; kind: string }[]
    }>(['tree'])
    const stop = tree.checkpoints.find(({ kind }) => kind === 'stop')
    expect((await home.run(['show', stop?.id ?? ''])).stdout).toMatch(
      /^checkpoint +c_\w+\n(.*\n)*where +stopped before work\(\) \(told\.py:2\)\n(.*\n)*state +parked/,
    )
    expect((await home.run(['show', tree.branches[0]?.id ?? ''])).stdout).toMatch(
      /^branch +b_\w+\n(.*\n)*began by +thaw run\n/,
    )
  })

  it('leave out what never ran', async () => {
    const before = await home.json<unknown[]>(['ls'])
    expect(await home.run(['run', 'no-such-command'])).toMatchObject({ code: 127 })
    home.write('fine.py', '')
    expect((await home.run(['run', '--break', 'fine.py:none', 'python3', 'fine.py'])).code).toBe(125)
    expect(await home.json<unknown[]>(['ls'])).toHaveLength(before.length)
  })

  it('stop what is live', async () => {
    const one = home.start(['run', '-q', 'sh', '-c', 'echo on; sleep 60'])
    await until('the program runs', () => one.text('stdout').includes('on'))
    expect((await home.json<{ stopped: string[] }>(['stop', 'last'])).stopped).toHaveLength(1)
    expect((await one.ended).code).toBeGreaterThan(128)
  })

  it('explain themselves', async () => {
    const help = await home.run([])
    expect(help.stdout).toMatch(/First steps:/)
    expect((await home.run(['help', 'run'])).stdout).toMatch(/--effects/)
    expect((await home.run(['run', '--help'])).stdout).toMatch(/--effects/)
    expect((await home.run(['help', 'tree'])).stdout).toMatch(/checkpoints/)
    expect((await home.run(['lss'])).stderr).toMatch(/^thaw: USAGE: .*Did you mean ls/)
    expect((await home.run(['version'])).stdout).toMatch(/^thaw \d/)
  })
})

it('takes settings from flags, environment and thaw.toml, in this order', async () => {
  home.write('thaw.toml', 'effects = "keep"\nfactor = 7\n')
  const { settings } = await home.json<{
    settings: { name: string; value: unknown; source: string; where: string }[]
  }>(['doctor', '--config'])
  expect(settings.find((one) => one.name === 'effects')).toMatchObject({
    value: 'keep',
    source: 'project',
    where: `${join(home.project, 'thaw.toml')}:1`,
  })
  home.write('thaw.toml', '')
})

describe('on a terminal', () => {
  /** In front of a terminal of its own; what that shows. */
  const onTerminal = (command: string) =>
    home.shell(`cat > term.py <<'END'
import os, pty, sys
os._exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
END
python3 term.py sh -c '${command}' </dev/null`)

  it('starts its last line on a line of its own', () => {
    const shown = onTerminal(`"${home.thaw}" run printf Name:`).stdout
    expect(shown).toMatch(/^Name:\r\nthaw: ran cold/)
    expect(onTerminal(`"${home.thaw}" run echo Name:`).stdout).toMatch(/^Name:\r\nthaw: ran cold/)
    expect(onTerminal(`"${home.thaw}" run true`).stdout).toMatch(/^thaw: ran cold/)
  })

  it('-t with nothing on stdin ends as the program ends', async () => {
    home.write(
      'ask.py',
      'import sys\nprint([s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)])\nprint(repr(sys.stdin.read() + sys.stdin.read()))\n',
    )
    const plain = onTerminal('python3 ask.py </dev/null')
    expect(plain.stdout).toBe("[False, True, True]\r\n''\r\n")
    for (const how of ['--fresh', '']) {
      const thawed = home.shell(`thaw run -q -t ${how} python3 ask.py </dev/null`)
      expect(thawed).toMatchObject({ code: 0, stdout: plain.stdout })
    }
    expect(home.shell('thaw run -q -t cat </dev/null')).toMatchObject({ code: 0, stdout: '' })
    expect(home.shell('thaw run -q -t sh -c "cat </dev/tty" </dev/null')).toMatchObject({ code: 0 })
  })

  it('-t goes on from a checkpoint with nothing on stdin', async () => {
    const source = (word: string) =>
      `import sys, time\ndef first():\n    time.sleep(0.3)\n    print(sys.stdin.isatty())\ndef second():\n    print("${word}", repr(sys.stdin.read()))\nfirst()\nsecond()\n`
    home.write('goes.py', source('one'))
    expect(home.shell('thaw run -t python3 goes.py </dev/null').stdout).toBe("False\r\none ''\r\n")
    home.write('goes.py', source('two'))
    const again = home.shell('thaw run -t python3 goes.py </dev/null')
    expect(again.stdout).toBe("False\r\ntwo ''\r\n")
    expect(again.stderr).toContain('resumed')
  })
})
