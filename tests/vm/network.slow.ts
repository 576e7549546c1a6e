/** A machine with a way out: what it reaches, and what is closed to it. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Instance } from '@thaw/protocol'
import { findCarrier } from '../../packages/thaw/src/engines/process/network.js'
import { until } from '../support/home.js'
import { InstanceBench } from '../support/instances.js'
import { askCounter, counterImage, processesWith, whyNot } from '../support/vm.js'

const canTap = spawnSync('unshare', ['--net', 'ip', 'tuntap', 'add', 'name', 'x', 'mode', 'tap']).status === 0
const reason =
  (await whyNot()) ??
  (canTap ? null : 'no tap device can be made here') ??
  (findCarrier()?.name === 'slirp4netns' ? null : 'slirp4netns is not installed')
if (reason !== null) console.error(`tests/vm/network.slow.ts: skipped, ${reason}`)

/** An address of this machine that is not its loopback: as far as there is an outside here. */
const here = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address

const CONNECT = `
import errno, socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(':', 1)
    with socket.socket() as s:
        s.settimeout(5)
        try: s.connect((host, int(port))); print(s.recv(100).decode() or 'reached')
        except OSError as e: print(errno.errorcode.get(e.errno, 'none'))
`

describe.skipIf(reason !== null)('a machine with a way out', () => {
  let bench: InstanceBench
  let one: Instance
  /** On the loopback of this machine, and on all of its addresses. */
  let closed: Server
  let open: Server
  let reached = 0
  const port = (server: Server) => (server.address() as AddressInfo).port
  beforeAll(async () => {
    closed = createServer((socket) => {
      reached++
      socket.end('closed')
    })
    open = createServer((socket) => socket.end('hello from outside'))
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
    await new Promise<void>((resolve) => open.listen(0, here, resolve))
    bench = new InstanceBench()
    await bench.image(await counterImage())
    one = await bench.start({ image: 'counter', name: 'first', network: 'private+out' })
  })
  const carriers = () => processesWith('--disable-host-loopback').filter(isOurs)
  afterAll(async () => {
    for (const server of [closed, open]) server.close()
    const { directory } = bench
    await bench[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
    await until('no carrier is left', () => carriers().length === 0)
  })
  const connect = async (name: string, ...targets: string[]) => {
    const done = await bench.exec(name, ['python3', '-c', CONNECT, ...targets])
    return done.stdout.trim().split('\n')
  }

  it('has a card, an address and a name server', async () => {
    expect((await bench.exec('first', ['ls', '/sys/class/net'])).stdout).toBe('eth0\nlo\n')
    expect((await bench.exec('first', ['cat', '/etc/resolv.conf'])).stdout).toBe('nameserver 10.0.2.3\n')
    expect((await bench.exec('first', ['cat', '/proc/net/route'])).stdout).toMatch(
      /eth0\s+00000000\s+0202000A/,
    )
  })

  it('reaches what this machine reaches, by its address', async (context) => {
    if (here === undefined) return context.skip()
    expect(await connect('first', `${here}:${port(open)}`)).toEqual(['hello from outside'])
  })

  it('does not reach the loopback of this machine, under whatever name', async () => {
    const names = ['10.0.2.2', '127.0.0.1', '10.0.2.1', '10.0.2.3', '10.0.2.100']
    const said = await connect('first', ...names.map((name) => `${name}:${port(closed)}`))
    expect(said).toHaveLength(names.length)
    for (const [at, what] of said.entries()) expect(what, names[at]).not.toMatch(/closed|reached/)
    expect(reached).toBe(0)
  })

  it('is reached at its published port all the same', async () => {
    expect(await askCounter(one)).toMatchObject({ count: 1, host: 'first' })
  })

  it('is copied: each clone has a network of its own, with the same address', async () => {
    const [clone] = await bench.fork('first', { count: 1, names: ['second'] })
    expect(await askCounter(clone as Instance)).toMatchObject({ count: 2, host: 'second' })
    expect(carriers()).toHaveLength(2)
    for (const name of ['first', 'second']) {
      if (here !== undefined)
        expect(await connect(name, `${here}:${port(open)}`)).toEqual(['hello from outside'])
      expect(await connect(name, `10.0.2.2:${port(closed)}`)).not.toEqual(['closed'])
    }
    expect(reached).toBe(0)
    await bench.instances.remove('second', { force: true, cascade: true })
    await until('its carrier has ended', () => carriers().length === 1)
  })

  it('is not given the network of this machine', async () => {
    await expect(bench.start({ image: 'counter', network: 'host' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
  })
})

/** Started by this process: another's test may have some, too. */
function isOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8').includes(`PPid:\t${process.pid}\n`)
  } catch {
    return false
  }
}
