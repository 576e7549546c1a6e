import { execFileSync, spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Entered, type EnterSpec } from '../../packages/thaw/src/engines/process/entered.js'
import { publish } from '../../packages/thaw/src/engines/process/publication.js'
import { needsUserNamespace } from '../../packages/thaw/src/engines/process/criu/provide.js'
import { until } from '../support/home.js'
import { Bench, COUNTER, environment, PIPES, TERMINAL, type Watched, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)
const rootless = needsUserNamespace()

const SERVER = `
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 7000)); s.listen()
n = 0
print("ready", flush=True)
while True:
    c, _ = s.accept(); n += 1
    data = c.makefile("rb").read()
    c.sendall(b"%d %d " % (n, len(data)) + data); c.close()
`

function talk(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('data', (chunk) => parts.push(chunk))
    socket.once('end', () => resolve(Buffer.concat(parts).toString()))
    socket.once('error', reject)
    socket.end(text)
  })
}

/** Runs a program beside the one that is watched. */
async function entered(one: Watched, bench: Bench, argv: string[], more: Partial<EnterSpec> = {}) {
  const parts: Buffer[] = []
  const listener = {
    output(_stream: 'stdout' | 'stderr', bytes: Buffer) {
      parts.push(Buffer.from(bytes))
      return true
    },
  }
  const spec: EnterSpec = {
    argv,
    env: environment(),
    cwd: '/',
    user: null,
    streams: PIPES,
    ...more,
    listener,
  }
  const program = await Entered.start(one.branch, spec, rootless, bench.scope)
  return { program, text: () => Buffer.concat(parts).toString() }
}

describe.skipIf(why !== null)('a sandbox that others enter', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  it('has ports on the machine, each clone its own', async () => {
    const one = await bench.launch(['python3', '-c', SERVER], { network: 'private' })
    await one.prints('ready')
    const scope = bench.scope
    const published = await publish(one.branch, '127.0.0.1', [{ port: 0, inner: 7000 }], rootless, scope)
    const port = published.ports[0]?.port ?? 0
    expect(await talk(port, 'hello')).toBe('1 5 hello')
    const large = 'x'.repeat(3_000_000)
    expect(await talk(port, large)).toBe(`2 3000000 ${large}`)
    await expect(
      publish(one.branch, '127.0.0.1', [{ port, inner: 7000 }], rootless, scope),
    ).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    const image = await bench.checkpoint(one)
    const clones = [await bench.restore(image), await bench.restore(image)]
    const theirs = await Promise.all(
      clones.map((clone) => publish(clone.branch, '127.0.0.1', [{ port: 0, inner: 7000 }], rootless, scope)),
    )
    for (const { ports } of theirs) expect(await talk(ports[0]?.port ?? 0, 'a')).toBe('3 1 a')
    expect(await talk(theirs[0]?.ports[0]?.port ?? 0, 'b')).toBe('4 1 b')
    expect(await talk(port, 'c')).toBe('3 1 c')
    // Nobody listens there: whoever connects is told.
    const none = await publish(one.branch, '127.0.0.1', [{ port: 0, inner: 7001 }], rootless, scope)
    await expect(talk(none.ports[0]?.port ?? 0, 'x')).rejects.toMatchObject({ code: 'ECONNRESET' })
    for (const all of [published, none, ...theirs]) await all[Symbol.asyncDispose]()
    await expect(talk(port, 'x')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('runs another program, which ends as it ends', async () => {
    const one = await bench.launch(['python3', '-c', COUNTER], { network: 'private' })
    await one.prints('ready')
    const says = await entered(one, bench, ['sh', '-c', 'cat; echo $A; pwd; exit 7'], {
      env: { ...environment(), A: 'b c' },
      cwd: bench.project,
    })
    await says.program.writeStdin(Buffer.from('in\n'))
    says.program.endStdin()
    expect(await says.program.exited).toEqual({ code: 7, signal: null })
    expect(says.text()).toBe(`in\nb c\n${bench.project}\n`)
    const killed = await entered(one, bench, ['sleep', '60'])
    killed.program.signal('SIGTERM')
    expect(await killed.program.exited).toEqual({ code: null, signal: 'SIGTERM' })
    await expect(entered(one, bench, ['no-such-program'])).rejects.toMatchObject({
      code: 'COMMAND_NOT_FOUND',
    })
    await expect(entered(one, bench, ['true'], { cwd: '/no/such' })).rejects.toMatchObject({
      code: 'DIRECTORY_GONE',
    })
    // It sees the program's processes, and is not part of what is copied.
    const beside = await entered(one, bench, ['sh', '-c', 'ls /proc | grep -cx 1000; read x'])
    await until('it counts', () => beside.text() === '1\n')
    const image = await bench.checkpoint(one)
    expect(image.manifest.processes).toBe(2)
    await beside.program[Symbol.asyncDispose]()
    await one.ask('a\n', '1 a')
  })

  it('gives it a terminal', async () => {
    const one = await bench.launch(['python3', '-c', COUNTER])
    await one.prints('ready')
    const shell = await entered(one, bench, ['sh', '-i'], { streams: TERMINAL })
    await shell.program.writeStdin(Buffer.from('tty; stty size\n'))
    await until('a terminal', () => /\/dev\/pts\/\d+\r\n24 80/.test(shell.text()))
    shell.program.resize({ rows: 30, cols: 100 })
    await shell.program.writeStdin(Buffer.from('stty size; exit 3\n'))
    expect(await shell.program.exited).toEqual({ code: 3, signal: null })
    expect(shell.text()).toContain('30 100')
  })

  it('stands still until it is let go', async () => {
    const one = await bench.launch(['python3', '-c', `import socket\n${COUNTER}`], { hostname: 'first' })
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    let printed = ''
    const listener = {
      output(_stream: 'stdout' | 'stderr', bytes: Buffer) {
        printed += bytes.toString()
        return true
      },
    }
    const spec = { branch: 'held', streams: PIPES, listener, hostname: 'second' }
    const held = await bench.engine.hold(bench.group, image, spec, bench.scope)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const branch = await held.release(null)
    await branch.writeStdin(Buffer.from('a\n'))
    await until('an answer', () => printed === '1 a\n')
    const name = await entered({ branch } as Watched, bench, ['hostname'])
    await name.program.exited
    expect(name.text()).toBe('second\n')
    const own = await entered(one, bench, ['hostname'])
    await own.program.exited
    expect(own.text()).toBe('first\n')
    const dropped = await bench.engine.hold(bench.group, image, spec, bench.scope)
    await dropped[Symbol.asyncDispose]()
  })

  it('keeps what was written as a layer, through generations', async () => {
    const file = join(bench.project, 'kept')
    writeFileSync(file, 'machine')
    const one = await bench.launch(['sh', '-c', 'while read -r line; do eval "$line"; echo done; done'], {
      layered: true,
      network: 'private',
    })
    const say = async (to: Watched, line: string) => {
      const before = to.stdout.split('done').length
      await to.type(`${line}\n`)
      await until(line, () => to.stdout.split('done').length > before)
    }
    await say(one, 'echo one >> kept; mkdir d; echo x > d/x; exec 5>>d/open; echo first >&5')
    const first = await bench.checkpoint(one)
    const two = await bench.restore(first)
    await say(two, 'cat kept d/x d/open; rm kept; rm -r d/x; echo second >&5; cat d/open')
    expect(two.stdout).toBe('machineone\nx\nfirst\nfirst\nsecond\ndone\n')
    const second = await bench.checkpoint(two, { stop: true })
    await bench.engine.discard(first)
    const three = await bench.restore(second)
    await say(three, 'ls; ls d; cat d/open')
    expect(three.stdout).toBe('d\nopen\nfirst\nsecond\ndone\n')
    expect(readFileSync(file, 'utf8')).toBe('machine')
    expect(existsSync(join(bench.project, 'd'))).toBe(false)
  })
})

/** Debian's static one, unpacked into a directory of the test's; null where it cannot be had. */
function fetchBusybox(): string | null {
  const into = join(tmpdir(), 'thaw-test-busybox')
  const program = join(into, 'x/bin/busybox')
  if (existsSync(program)) return program
  mkdirSync(into, { recursive: true })
  spawnSync('apt-get', ['download', 'busybox-static'], { cwd: into })
  const file = readdirSync(into).find((name) => name.endsWith('.deb'))
  if (file !== undefined) spawnSync('dpkg-deb', ['-x', file, 'x'], { cwd: into })
  return existsSync(program) ? program : null
}

const busybox = why === null ? fetchBusybox() : null
if (why === null && busybox === null) console.error('skipped: busybox-static cannot be fetched')

/** A root file system of one static program. */
function makeRoot(directory: string, program: string): void {
  mkdirSync(join(directory, 'bin'), { recursive: true })
  cpSync(program, join(directory, 'bin/busybox'))
  const names = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n')
  for (const name of names) if (name !== 'busybox') symlinkSync('busybox', join(directory, 'bin', name))
  mkdirSync(join(directory, 'etc'))
  writeFileSync(join(directory, 'etc/motd'), 'inside\n')
}

describe.skipIf(busybox === null)('a root file system', () => {
  it('is all that the program sees, and what it writes is its own', async () => {
    await using bench = new Bench()
    const root = join(bench.directory, 'root')
    makeRoot(root, busybox ?? '')
    const env = { PATH: '/bin' }
    const shell = ['sh', '-c', 'while read -r line; do eval "$line"; echo done; done']
    const one = await bench.launch(shell, {
      root,
      layered: true,
      network: 'private',
      cwd: '/',
      env,
      hostname: 'box',
    })
    const say = async (to: Watched, line: string) => {
      const before = to.stdout.split('done').length
      await to.type(`${line}\n`)
      await until(`${line}: ${to.stdout} ${to.stderr}`, () => to.stdout.split('done').length > before)
    }
    await say(one, 'cat /etc/motd; ls /; hostname; ls /dev; ps | wc -l; ls /run /root /usr 2>&1')
    expect(one.stdout).toContain('inside\nbin\ndev\netc\nproc\nrun\nsys\ntmp\nbox\n')
    await say(one, 'echo more >> /etc/motd; echo t > /tmp/t; head -c 8 /dev/urandom | wc -c; X=kept')
    const image = await bench.checkpoint(one)
    const two = await bench.restore(image, { hostname: 'other' })
    await say(two, 'cat /etc/motd /tmp/t; echo $X; hostname; echo again >> /etc/motd')
    expect(two.stdout).toBe('inside\nmore\nt\nkept\nother\ndone\n')
    const inside = await entered(two, bench, ['cat', '/etc/motd'], { env, user: { uid: 1000, gid: 1000 } })
    await inside.program.exited
    expect(inside.text()).toBe('inside\nmore\nagain\n')
    expect(readFileSync(join(root, 'etc/motd'), 'utf8')).toBe('inside\n')
  })
})
