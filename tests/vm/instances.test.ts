import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { InstanceBench } from '../support/instances.js'
import { askCounter, counterImage, processesWith, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

describe.skipIf(reason !== null)('instances that are machines', () => {
  let bench: InstanceBench

  beforeAll(async () => {
    bench = new InstanceBench()
    await bench.image(await counterImage())
    await bench.start({ image: 'counter', name: 'first' })
  }, 300_000)
  afterAll(async () => {
    const { directory } = bench
    await bench[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  }, 60_000)

  const ask = (name: string) => askCounter(bench.instances.get(name))

  it('serve through published ports, run programs, take files', async () => {
    expect(await ask('first')).toMatchObject({ count: 1, host: 'first' })
    expect((await bench.exec('first', ['uname', '-n'])).stdout).toBe('first\n')
    expect((await bench.exec('first', ['sh', '-c', 'exit 4'])).code).toBe(4)
    expect(bench.instances.stats('first').memory_bytes).toBeGreaterThan(50_000_000)
  }, 60_000)

  it('are forked: counters go on and differ, generators and names too', async () => {
    const clones = await bench.fork('first', { count: 2, names: ['a', 'b'] })
    expect(clones.map(({ boot_method }) => boot_method)).toEqual(['warm', 'warm'])
    const [a, b, first] = [await ask('a'), await ask('b'), await ask('first')]
    expect([a.count, b.count, first.count]).toEqual([2, 2, 2])
    expect([a.host, b.host, first.host]).toEqual(['a', 'b', 'first'])
    expect(a.random).not.toBe(b.random)
    expect(await ask('a')).toMatchObject({ count: 3 })
    expect(await ask('b')).toMatchObject({ count: 3 })
    await bench.instances.remove('b', { force: true, cascade: true })
  }, 120_000)

  it('stand still when they are paused', async () => {
    bench.instances.pause('a')
    const answer = ask('a')
    expect(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 1000, 'still'))])).toBe(
      'still',
    )
    bench.instances.resume('a')
    expect(await answer).toMatchObject({ host: 'a' })
  }, 60_000)

  it('cannot reach this machine’s loopback, the channel of another, nor files outside', async () => {
    const server = createServer((socket) => socket.end('secret')).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const reach = (host: string) =>
      bench.exec('first', [
        'python3',
        '-c',
        `import socket; print(socket.create_connection(('${host}', ${port}), 3))`,
      ])
    try {
      for (const host of ['127.0.0.1', '10.0.2.2', '169.254.169.254']) {
        expect((await reach(host)).code, host).not.toBe(0)
      }
    } finally {
      server.close()
    }
    // There is no other device than the loopback, and no other channel than its own.
    expect((await bench.exec('first', ['ls', '/sys/class/net'])).stdout).toBe('lo\n')
    expect(
      (await bench.exec('first', ['ls', '/sys/class/virtio-ports'])).stdout.trim().split('\n'),
    ).toHaveLength(1)
    expect((await bench.exec('first', ['cat', bench.directory])).code).not.toBe(0)
    // Channels have no names that anything on this machine could open.
    const names = readdirSync(bench.directory, { recursive: true, encoding: 'utf8' })
    expect(
      names.filter((name) => /\.sock$|qmp|agent/.test(name) && existsSync(join(bench.directory, name))),
    ).toEqual([])
  }, 60_000)

  it('end with their program, and leave nothing', async () => {
    await bench.instances.stop('a', { signal: 'SIGKILL', grace: 5 })
    expect(bench.instances.get('a')).toMatchObject({
      state: 'stopped',
      exit: { code: null, signal: 'SIGKILL' },
    })
  }, 60_000)
})
