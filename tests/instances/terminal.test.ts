/** Terminals in instances: over WebSockets with a token, over the unix socket, and at the command line. */
import { Client, fetchTransport, type Terminal, type TerminalOptions } from '@thaw/sdk'
import { NodeClient } from '@thaw/sdk/node'
import { controlFrame, frameHeader } from '@thaw/protocol/frames'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { Api } from '../support/api.js'
import { Home, until } from '../support/home.js'
import { whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/instances/terminal.test.ts is skipped: ${why}`)

let home: Home
let api: Api
let remote: Client
let local: NodeClient
const PATH = '/v1/instances/one/exec/stream'

beforeAll(async () => {
  if (why !== null) return
  home = new Home({ XDG_CACHE_HOME: join(findPaths().cache, '..') })
  api = await Api.start(home)
  remote = overTcp(api.token)
  local = new NodeClient(join(home.env['THAW_HOME'] ?? '', 'run', 'daemon.sock'))
  const command = ['sleep', '600']
  await local.images.create({ kind: 'directory', name: 'sleeper', path: home.project, command })
  await local.instances.create({ image: 'sleeper', name: 'one' })
})
afterAll(() => home?.[Symbol.asyncDispose]())

const overTcp = (token: string | null) =>
  new Client(fetchTransport(api.url, token ?? undefined, { WebSocket: WebSocket as never }))

/** A terminal, what has appeared on it, and a wait for more. */
async function open(client: Client, options: Partial<TerminalOptions> = {}) {
  let text = ''
  const onOutput = (bytes: Uint8Array) => void (text += Buffer.from(bytes).toString('latin1'))
  const terminal = await client.instances.terminal('one', {
    command: ['bash', '--norc', '-i'],
    env: { PS1: '> ', TERM: 'dumb' },
    onOutput,
    ...options,
  })
  const sees = (pattern: RegExp) => until(`${pattern} appears`, () => pattern.test(text))
  return { terminal, sees, text: () => text }
}

/** Whether a program with this argument runs anywhere. */
const runs = (mark: string) => {
  try {
    return execFileSync('pgrep', ['-f', `^sleep ${mark}$`], { encoding: 'utf8' }) !== ''
  } catch {
    return false
  }
}

describe.skipIf(why !== null)('a terminal in an instance', () => {
  it.each([
    ['over a WebSocket on TCP', () => remote],
    ['over the unix socket', () => local],
  ])('%s: a shell with its size, Ctrl-C, and its exit code', async (_how, client) => {
    const { terminal, sees } = await open(client(), { rows: 30, cols: 90 })
    terminal.write('stty size; tty\n')
    await sees(/\r\n30 90\r\n\/dev\/pts\/\d+\r\n/)
    terminal.resize(41, 123)
    terminal.write('stty size\n')
    await sees(/\r\n41 123\r\n/)
    terminal.write('sleep 4711\n')
    await until('it sleeps', () => runs('4711'))
    terminal.write('\x03')
    terminal.write('echo ended-by $?\n')
    await sees(/ended-by 130\r\n/)
    expect(runs('4711')).toBe(false)
    terminal.write('exit 7\n')
    expect(await terminal.exited).toEqual({ code: 7, signal: null })
  })

  it('carries every byte, much of it, both ways', async () => {
    const script = 'stty raw -echo; printf ready; head -c 1000000 | sha256sum; printf "\\0\\377\\200end"'
    const { terminal, sees, text } = await open(remote, { command: ['bash', '-c', script] })
    await sees(/ready/)
    const typed = Buffer.alloc(1_000_000, Buffer.from(Array.from({ length: 256 }, (_, i) => i)))
    terminal.write(typed)
    await terminal.exited
    const digest = execFileSync('sha256sum', { input: typed, encoding: 'utf8' }).slice(0, 64)
    expect(text()).toBe(`ready${digest}  -\n\0\xff\x80end`)
    let bytes = 0
    const onOutput = async (chunk: Uint8Array) => void (bytes += chunk.length)
    const much = await open(remote, {
      command: ['sh', '-c', 'stty raw; head -c 30000000 /dev/zero'],
      onOutput,
    })
    expect(await much.terminal.exited).toEqual({ code: 0, signal: null })
    expect(bytes).toBe(30_000_000)
  })

  it('ends with its client, with what was started in it', async () => {
    for (const client of [remote, local]) {
      const { terminal, sees } = await open(client)
      terminal.write('sleep 4712 & sleep 4713\n')
      await until('both sleep', () => runs('4712') && runs('4713'))
      await sees(/sleep/)
      terminal.close()
      await until('both are gone', () => !runs('4712') && !runs('4713'))
      await expect(terminal.exited).rejects.toMatchObject({ code: 'DAEMON_LOST' })
    }
  })

  it('ends with a client that is killed in the middle', async () => {
    const { hostname, port } = new URL(api.url)
    const socket = connect(Number(port), hostname)
    socket.write(
      `GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${api.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
    )
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1.1 101 /)
    const frame = controlFrame({
      command: ['sleep', '4714'],
      terminal: { rows: 1, cols: 1 },
      stdin: 'stream',
    })
    socket.write(Buffer.concat([Buffer.from([0x82, 0x80 | frame.length, 0, 0, 0, 0]), frame]))
    await until('it sleeps', () => runs('4714'))
    socket.resetAndDestroy()
    await until('it is gone', () => !runs('4714'))
  })

  it('ends with its instance, whose idle time it had held back', async () => {
    await local.instances.create({ image: 'sleeper', name: 'short', idle_ttl: 1 })
    const onOutput = () => {}
    const open = await remote.instances.terminal('short', { command: ['bash', '--norc', '-i'], onOutput })
    await new Promise((resolve) => setTimeout(resolve, 2500))
    expect((await remote.instances.get('short')).state).toBe('ready')
    open.close()
    await until('it is forgotten', async () => {
      return (await local.instances.list()).every(({ name }) => name !== 'short')
    })
    await local.instances.create({ image: 'sleeper', name: 'two' })
    const other = await remote.instances.terminal('two', { command: ['bash', '--norc', '-i'], onOutput })
    const began = Date.now()
    await local.instances.remove('two', { force: true })
    // A shell that is asked to end by SIGTERM would not.
    expect(Date.now() - began).toBeLessThan(1900)
    await other.exited
  })

  it('tells what cannot be started', async () => {
    const { terminal } = await open(remote, { command: ['no-such-program'] })
    await expect(terminal.exited).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' })
    await expect(remote.instances.terminal('nobody', { onOutput: () => {} })).rejects.toMatchObject({
      code: 'INSTANCE_NOT_FOUND',
    })
  })
})

describe.skipIf(why !== null)('whoever may not', () => {
  const refused = (client: Client): Promise<Terminal> =>
    client.instances.terminal('one', { onOutput: () => {} })

  it('is refused before the handshake, and told why', async () => {
    await expect(refused(overTcp('thaw_nothing'))).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
    await expect(refused(overTcp(null))).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
    const { token } = await api.newToken('read')
    await expect(refused(overTcp(token))).rejects.toMatchObject({ code: 'FORBIDDEN' })
    for (const [given, status] of [
      ['thaw_nothing', 401],
      [token, 403],
    ] as const) {
      const socket = new WebSocket(api.url + PATH, ['thaw.v1', `thaw.token.${given}`])
      socket.on('error', () => {})
      const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
      expect(answer.statusCode).toBe(status)
    }
    const ordinary = await api.get(PATH)
    expect([ordinary.status, ordinary.json.code]).toEqual([426, 'UPGRADE_REQUIRED'])
    // A token among the protocols of anything else than a WebSocket is none.
    const header = { 'sec-websocket-protocol': `thaw.token.${api.token}`, authorization: '' }
    expect((await api.get('/v1/instances', { headers: header })).status).toBe(401)
  })

  it('gets no token back, and only the protocol that is spoken', async () => {
    const socket = new WebSocket(api.url + PATH, [`thaw.token.${api.token}`, 'thaw.v1'])
    await once(socket, 'open')
    expect(socket.protocol).toBe('thaw.v1')
    socket.terminate()
    const other = new WebSocket(api.url + PATH, ['chat', `thaw.token.${api.token}`])
    other.on('error', () => {})
    const [, answer] = (await once(other, 'unexpected-response')) as [unknown, { statusCode: number }]
    expect(answer.statusCode).toBe(426)
  })

  it.each([
    ['no frame', Buffer.from('hello there')],
    ['an unknown type', Buffer.concat([frameHeader(9, 1), Buffer.from('x')])],
    ['a first message that is none', controlFrame({ command: [] })],
    ['stdin before it was asked for', Buffer.concat([frameHeader(3, 1), Buffer.from('x')])],
    ['JSON that is none', Buffer.concat([frameHeader(0, 1), Buffer.from('{')])],
  ])('sends nonsense (%s): an error, and the end of the connection', async (_what, bytes) => {
    const socket = new WebSocket(api.url + PATH, ['thaw.v1', `thaw.token.${api.token}`])
    await once(socket, 'open')
    const said: Buffer[] = []
    socket.on('message', (data: Buffer) => said.push(data))
    socket.send(bytes)
    await once(socket, 'close')
    expect(Buffer.concat(said).toString()).toContain('INVALID_REQUEST')
    expect((await api.get('/healthz')).status).toBe(200)
  })
})

/** A terminal around the command line: types, resizes, and tells what appeared and the exit code. */
const AT_A_TERMINAL = `
import fcntl, os, pty, re, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
def size(rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))
seen = b''
def wait(pattern):
    global seen
    while not re.search(pattern, seen):
        seen += os.read(fd, 4096)
size(33, 77)
wait(rb'[$#] ')
os.write(fd, b'stty size\\r')
wait(rb'33 77')
size(20, 50)
os.write(fd, b'sleep 4715\\r')
wait(rb'sleep 4715')
import time; time.sleep(0.5)
os.write(fd, b'\\x03')
os.write(fd, b'stty size; echo $TERM-term\\r')
wait(rb'20 50')
wait(rb'dumb-term')
os.write(fd, b'exit 9\\r')
try:
    while True: seen += os.read(fd, 4096)
except OSError:
    pass
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

it.skipIf(why !== null)('thaw instance shell: raw keys, window changes, the exit code of the shell', () => {
  home.write('at.py', AT_A_TERMINAL)
  const done = home.shell(
    'TERM=dumb timeout 30 python3 at.py "$(command -v node)" "$THAW" instance shell one',
  )
  expect([done.stdout, done.stderr]).toEqual(['9\n', ''])
  expect(runs('4715')).toBe(false)
})
