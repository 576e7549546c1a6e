/** Instances of commands in a directory of the machine. */
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { InstanceRequest, StopRequest } from '@thaw/protocol'
import { until } from '../support/home.js'
import { InstanceBench } from '../support/instances.js'
import { remains, TERMINAL, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/instances/instances.test.ts is skipped: ${why}`)

/** Counts what it is asked; says its host name, what it knows, and what lies in its directory. */
const SERVER = `
import http.server, os, socket, sys
count = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        note = open("note").read() if os.path.exists("note") else "-"
        body = f"{count} {socket.gethostname()} {os.environ.get('COLOUR', '-')} {note}".encode()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): print("asked", self.path, flush=True)
server = http.server.HTTPServer(("127.0.0.1", 8000), Handler)
print("listening", flush=True)
server.serve_forever()
`
const PYTHON = ['python3', '-B', '-u', 'server.py']

function ask(port: number | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: false }, (answer) => resolve(text(answer))).on('error', reject)
  })
}

describe.skipIf(why !== null)('an instance', () => {
  let bench: InstanceBench
  let before: ReturnType<typeof remains>
  beforeEach(() => {
    bench = new InstanceBench()
    before = remains(bench.project)
    writeFileSync(join(bench.project, 'server.py'), SERVER)
  })
  afterEach(async () => {
    await bench[Symbol.asyncDispose]()
    expect({ ...remains('/tmp'), files: before.files }).toEqual(before)
  })
  const server = (more: object = {}) =>
    bench.command('server', PYTHON, { ports: [8000], readiness: { http: { port: 8000 } }, ...more })

  it('is ready when it answers, on a port of the machine, with its own name and environment', async () => {
    await server({ env: { COLOUR: 'red' } })
    const one = await bench.start({ image: 'server', name: 'first' })
    expect(one).toMatchObject({
      state: 'ready',
      boot_method: 'cold',
      network: 'private',
      ports: [{ port: 8000 }],
    })
    const two = await bench.start({ image: 'server', env: { COLOUR: 'blue' } })
    expect(await ask(one.ports[0]?.host)).toMatch(/^\d+ first red -$/)
    expect(await ask(two.ports[0]?.host)).toBe(`2 ${two.name} blue -`)
    expect(await bench.logs('first')).toContain('asked /')
    expect(bench.instances.stats('first')).toMatchObject({ pids: 2 })
    expect(bench.instances.stats('first').memory_bytes).toBeGreaterThan(1_000_000)
    await expect(bench.start({ image: 'server', name: 'first' })).rejects.toMatchObject({
      code: 'NAME_TAKEN',
    })
    await expect(bench.start({ image: 'none' })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    const stopped = await bench.instances.stop('first', StopRequest.parse({}))
    expect(stopped).toMatchObject({ state: 'stopped', reason: 'it was stopped', ports: [] })
    await expect(ask(one.ports[0]?.host)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    expect(await bench.logs('first')).toContain('listening')
    expect(bench.instances.list().map(({ name, state }) => [name, state])).toEqual([
      [two.name, 'ready'],
      ['first', 'stopped'],
    ])
  })

  it('takes and gives files that are its own, and no others', async () => {
    await server()
    const one = await bench.start({
      image: 'server',
      files: [{ path: join(bench.project, 'note'), content: 'injected' }],
    })
    expect(await ask(one.ports[0]?.host)).toContain('injected')
    const note = join(bench.project, 'note')
    const put = (path: string, content: string) =>
      bench.instances.writeFile(one.id, path, Readable.from([Buffer.from(content)]), 0o600)
    const read = async (path: string) => text((await bench.instances.readFile(one.id, path)).content)
    await put(note, 'replaced')
    expect(await ask(one.ports[0]?.host)).toContain('replaced')
    expect(await read(note)).toBe('replaced')
    await put('/tmp/deep/er', 'in its own /tmp')
    expect((await bench.exec(one.id, ['cat', '/tmp/deep/er'])).stdout).toBe('in its own /tmp')
    // The machine's directory is as it was.
    expect(readdirSync(bench.project)).toEqual(['server.py'])
    expect(existsSync('/tmp/deep')).toBe(false)
    const refusals = [
      '/etc/passwd',
      join(bench.project, '../journal.db'),
      `${bench.project}/none`,
      '/tmp',
      '/tmp/../etc/passwd',
    ]
    for (const path of refusals) {
      await expect(read(path), path).rejects.toMatchObject({ code: 'PATH_REFUSED' })
    }
    await bench.exec(one.id, ['ln', '-s', '/etc', '/tmp/out'])
    await bench.exec(one.id, ['ln', '-s', '../../../../etc/passwd', join(bench.project, 'link')])
    await bench.exec(one.id, ['mkfifo', '/tmp/fifo'])
    for (const path of ['/tmp/out/passwd', `${bench.project}/link`, '/tmp/fifo']) {
      await expect(read(path), path).rejects.toMatchObject({ code: 'PATH_REFUSED' })
    }
    await expect(put('/tmp/out/thaw-was-here', 'x')).rejects.toMatchObject({ code: 'PATH_REFUSED' })
    expect(existsSync('/etc/thaw-was-here')).toBe(false)
    await put(`${bench.project}/link`, 'a file instead')
    expect(await read(`${bench.project}/link`)).toBe('a file instead')
    await expect(
      bench.start({ image: 'server', name: 'bad', files: [{ path: '/etc/thaw-was-here', content: 'x' }] }),
    ).rejects.toMatchObject({ code: 'PATH_REFUSED' })
    expect(bench.instances.get('bad')).toMatchObject({ state: 'failed' })
  })

  it('runs other programs, with their exit, input, environment and terminal', async () => {
    await server({ env: { COLOUR: 'red' } })
    const { id } = await bench.start({ image: 'server' })
    expect(
      await bench.exec(
        id,
        ['sh', '-c', 'cat; echo $COLOUR $MORE; pwd; exit 7'],
        { env: { MORE: 'x y' } },
        'in\n',
      ),
    ).toEqual({
      code: 7,
      signal: null,
      stdout: `in\nred x y\n${bench.project}\n`,
      stderr: '',
    })
    expect(await bench.exec(id, ['sh', '-c', 'kill -TERM $$'])).toMatchObject({
      code: null,
      signal: 'SIGTERM',
    })
    await expect(bench.exec(id, ['no-such-program'])).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' })
    const typed = await bench.exec(id, ['sh', '-c', 'tty; stty size; echo $TERM'], { streams: TERMINAL })
    expect(typed.stdout).toMatch(/^\/dev\/pts\/\d+\r\n24 80\r\nxterm\r\n$/)
    // It may come too late to be started.
    const left = bench.exec(id, ['sleep', '60']).then(
      ({ signal }) => signal,
      (error: unknown) => (error as { code: string }).code,
    )
    await bench.instances.remove(id, { force: true, cascade: false })
    expect(await left).toMatch(/^(SIG|ENGINE_FAILED|INSTANCE)/)
    expect(() => bench.instances.get(id)).toThrow(expect.objectContaining({ code: 'INSTANCE_NOT_FOUND' }))
  })

  it('stands still while it is paused', async () => {
    writeFileSync(join(bench.project, 'tick.sh'), 'while :; do echo tick; sleep 0.02; done\n')
    await bench.command('ticks', ['sh', 'tick.sh'], { readiness: { output: 'tick' } })
    const { id } = await bench.start({ image: 'ticks' })
    expect(bench.instances.pause(id)).toMatchObject({ state: 'paused' })
    await new Promise((resolve) => setTimeout(resolve, 100))
    const size = (await bench.logs(id)).length
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect((await bench.logs(id)).length).toBe(size)
    expect(() => bench.instances.pause(id)).toThrow(expect.objectContaining({ code: 'WRONG_STATE' }))
    await expect(bench.exec(id, ['true'])).rejects.toMatchObject({ code: 'WRONG_STATE' })
    expect(await bench.instances.checkpoint(id, { name: 'still', tcp: null })).toMatchObject({
      name: 'still',
    })
    expect(bench.instances.get(id).state).toBe('paused')
    expect(bench.instances.resume(id)).toMatchObject({ state: 'ready' })
    await until('it ticks again', async () => (await bench.logs(id)).length > size + 20)
    // A clone of one that was paused runs.
    const [clone] = await bench.fork(id, { checkpoint: 'still' })
    await until('the clone ticks', async () => (await bench.logs(clone?.id ?? '')).includes('tick'))
  })

  it('is forked: clones go on from where it stood, apart from each other', async () => {
    await server({ after_restore: ['sh', '-c', 'echo "$(hostname)" > note'] })
    const one = await bench.start({ image: 'server', name: 'origin' })
    const base = Number((await ask(one.ports[0]?.host)).split(' ')[0])
    await bench.exec('origin', ['sh', '-c', 'echo kept > kept'])
    const clones = await bench.fork('origin', { count: 3, names: ['a', 'b', 'c'] })
    expect(clones.map(({ name, boot_method }) => [name, boot_method])).toEqual([
      ['a', 'warm'],
      ['b', 'warm'],
      ['c', 'warm'],
    ])
    const ports = new Set([one, ...clones].map(({ ports: [first] }) => first?.host))
    expect(ports.size).toBe(4)
    for (const {
      name,
      ports: [first],
    } of clones) {
      const [count, host, , note] = (await ask(first?.host)).trim().split(' ')
      expect([Number(count) > base, host, note]).toEqual([true, name, name])
    }
    await bench.exec('a', ['rm', 'kept'])
    expect((await bench.exec('b', ['cat', 'kept'])).stdout).toBe('kept\n')
    // A clone of a clone, with what that has written; the first's image is still in use.
    const [grand] = await bench.fork('a')
    expect((await bench.exec(grand?.id ?? '', ['ls'])).stdout).toBe('note\nserver.py\n')
    expect(await ask(one.ports[0]?.host)).toMatch(/^\d+ origin - -$/)
    const images = () => readdirSync(join(bench.directory, 'instances', 'checkpoints'))
    expect(images()).toHaveLength(2)
    for (const { name } of clones) await bench.instances.remove(name, { force: true, cascade: false })
    expect(images()).toHaveLength(1)
    await bench.instances.remove(grand?.id ?? '', { force: true, cascade: false })
    expect(images()).toEqual([])
    expect(readdirSync(bench.project)).toEqual(['server.py'])
  })

  it('keeps checkpoints by name, and what depends on them', async () => {
    await server()
    await bench.start({ image: 'server', name: 'origin' })
    const taken = await bench.instances.checkpoint('origin', { name: 'good', tcp: null })
    expect(bench.instances.checkpoints('origin')).toEqual([taken])
    await expect(bench.instances.checkpoint('origin', { name: 'good', tcp: null })).rejects.toMatchObject({
      code: 'NAME_TAKEN',
    })
    await expect(bench.instances.remove('origin', { force: true, cascade: false })).rejects.toMatchObject({
      code: 'HAS_DEPENDENTS',
    })
    const [clone] = await bench.fork('origin', { checkpoint: 'good' })
    expect(() => bench.instances.removeCheckpoint('good')).toThrow(
      expect.objectContaining({ code: 'HAS_DEPENDENTS' }),
    )
    await bench.instances.remove(clone?.id ?? '', { force: true, cascade: false })
    expect(bench.instances.usersOfImage(bench.images.get('server'))).toEqual(['origin', taken.id])
    expect(bench.instances.removeCheckpoint('good').id).toBe(taken.id)
    await bench.instances.remove('origin', { force: true, cascade: false })
  })

  it('fails with what it printed when it does not become ready, and says what ended it', async () => {
    await bench.command('bad', ['sh', '-c', 'echo no such luck >&2; exit 3'], { readiness: { port: 80 } })
    await expect(bench.start({ image: 'bad', name: 'bad' })).rejects.toMatchObject({
      code: 'NOT_READY',
      message: 'bad ended (exit code 3). It printed last: no such luck.',
    })
    expect(bench.instances.get('bad')).toMatchObject({ state: 'failed', exit: { code: 3, signal: null } })
    await bench.command('slow', ['sleep', '60'], { readiness: { port: 80, timeout: 0.3 } })
    await expect(bench.start({ image: 'slow' })).rejects.toMatchObject({
      code: 'NOT_READY',
      message: expect.stringContaining('was not ready within 0.3 s') as string,
    })
    await bench.command('absent', ['no-such-program'])
    await expect(bench.start({ image: 'absent' })).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' })
    await bench.command('brief', ['sh', '-c', 'sleep 0.2; exit 4'], { readiness: { seconds: 0 } })
    const brief = await bench.start({ image: 'brief' })
    await until('it has ended', () => bench.instances.get(brief.id).state === 'stopped')
    expect(bench.instances.get(brief.id)).toMatchObject({
      reason: 'it ended with exit code 4',
      exit: { code: 4 },
    })
    expect(() => bench.instances.stats(brief.id)).toThrow(expect.objectContaining({ code: 'WRONG_STATE' }))
    expect(bench.instances.live()).toBe(0)
  })

  it('becomes ready by a port, by a command, by what it prints', async () => {
    const readiness = [
      { port: 8000 },
      { command: ['sh', '-c', 'grep -q 1F40 /proc/net/tcp'] },
      { output: '^listening' },
    ]
    for (const [index, one] of readiness.entries()) {
      await bench.command(`by${index}`, PYTHON, { ports: [8000], readiness: one })
      const made = await bench.start({ image: `by${index}` })
      expect(await ask(made.ports[0]?.host)).toMatch(/^1 /)
    }
  })

  it('is deleted when its time is over, or nobody uses it', async () => {
    await bench.command('quiet', ['sleep', '60'])
    const timed = await bench.start({ image: 'quiet', ttl: 1 })
    expect(Date.parse(timed.expires_at ?? '')).toBeGreaterThan(Date.now())
    const idle = await bench.start({ image: 'quiet', idle_ttl: 2 })
    const used = await bench.start({ image: 'quiet', idle_ttl: 2 })
    const busy = bench.exec(used.id, ['sleep', '4'])
    const names = () => bench.instances.list().map(({ id }) => id)
    await until('the first is gone', () => !names().includes(timed.id), 5)
    await until('the second is gone', () => !names().includes(idle.id), 6)
    expect(names()).toEqual([used.id])
    await busy
  })

  it('of a daemon that was killed is known as lost, and nothing of it is left', async () => {
    await bench.command('quiet', ['sleep', '60'])
    const one = await bench.start({ image: 'quiet', name: 'one' })
    const kept = await bench.instances.checkpoint('one', { name: 'kept', tcp: null })
    const [clone] = await bench.fork('one')
    // As the journal and the directories stand when a daemon is killed.
    const rows = bench.journal.instances.list()
    const checkpoints = bench.journal.instances.listCheckpoints()
    await bench.instances[Symbol.asyncDispose]()
    for (const row of rows) bench.journal.instances.record(row)
    for (const row of checkpoints.filter(({ checkpoint }) => checkpoint.temporary)) {
      bench.journal.instances.recordCheckpoint(row)
    }
    bench.instances = bench.open()
    for (const { id } of [one, clone ?? one]) {
      expect(bench.instances.get(id)).toMatchObject({
        state: 'failed',
        reason: 'its daemon was killed',
        ports: [],
      })
    }
    expect(bench.instances.checkpoints(null)).toEqual([kept])
    expect(readdirSync(join(bench.directory, 'instances', 'checkpoints'))).toHaveLength(1)
    const [again] = await bench.fork('one', { checkpoint: 'kept', names: ['again'] })
    expect(again).toMatchObject({ name: 'again', state: 'ready', boot_method: 'warm' })
  })

  it('that nobody waits for any more is undone', async () => {
    await bench.command('slow', ['sleep', '60'], { readiness: { port: 80 } })
    const gone = new AbortController()
    const scope = { ...bench.scope, signal: gone.signal }
    const { ready } = bench.instances.create(InstanceRequest.parse({ image: 'slow' }), scope)
    setTimeout(() => gone.abort(), 150)
    await expect(ready).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(bench.instances.list()).toEqual([])
    expect(bench.instances.live()).toBe(0)
  })

  it('sees the machine’s files, but writes its own', async () => {
    symlinkSync('/etc/hostname', join(bench.project, 'seen'))
    await bench.command(
      'writer',
      ['sh', '-c', 'cat seen; echo x >> server.py; rm seen; echo written; sleep 60'],
      {
        readiness: { output: 'written' },
      },
    )
    await bench.start({ image: 'writer' })
    expect(readFileSync(join(bench.project, 'server.py'), 'utf8')).toBe(SERVER)
    expect(readdirSync(bench.project)).toEqual(['seen', 'server.py'])
  })
})
