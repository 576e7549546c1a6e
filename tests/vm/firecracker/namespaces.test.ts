/** The namespaces of machines, made for real: two clones with the same device and address, and what a kill leaves. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findCarrier } from '../../../packages/thaw/src/engines/process/network.js'
import { treeOf } from '../../../packages/thaw/src/engines/process/inspect.js'
import type { Machine } from '../../../packages/thaw/src/engines/vm/monitor.js'
import { startProcess } from '../../../packages/thaw/src/system/index.js'
import { bundle } from '../../support/bundle.js'
import { until } from '../../support/home.js'
import { Bench, soon } from './bench.js'

const canTap = spawnSync('unshare', ['--net', 'ip', 'tuntap', 'add', 'name', 'x', 'mode', 'tap']).status === 0
const why = !canTap
  ? 'no tap device can be made here'
  : findCarrier()?.name === 'slirp4netns'
    ? null
    : 'slirp4netns is not installed'
if (why !== null) console.warn(`the tests of a machine's way out are skipped: ${why}`)

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(async () => {
  await bench.nothingRuns()
  bench[Symbol.dispose]()
})

/** Firecracker itself, below what holds its namespaces. */
const vmm = (machine: Machine) => treeOf(machine.pid).at(-1) ?? 0
const namespace = (pid: number, name: string) => readlinkSync(`/proc/${pid}/ns/${name}`)

it('a machine without network is in one of its own, which is empty, and cannot reach our processes by their numbers', async () => {
  await using machine = await bench.monitor().start(bench.spec(), soon())
  expect(namespace(vmm(machine), 'net')).not.toBe(namespace(process.pid, 'net'))
  expect(namespace(vmm(machine), 'pid')).not.toBe(namespace(process.pid, 'pid'))
  const links = execFileSync('nsenter', [`--target=${vmm(machine)}`, '--net', 'ip', '-br', 'link'], {
    encoding: 'utf8',
  })
  expect(links.trim().split('\n')).toEqual([expect.stringMatching(/^lo\s+DOWN/)])
})

/**
 * Speaks as a guest would, through its device: asks who has ADDRESS, and prints who answers; nobody within 2 seconds: none.
 */
const ASK = `
import fcntl, os, select, socket, struct, sys, time
card = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(card, 0x400454ca, struct.pack('16sH22x', b'guest0', 0x0002 | 0x1000))
me = bytes.fromhex('525400123456')
frame = b'\\xff' * 6 + me + b'\\x08\\x06' + struct.pack('!HHBBH', 1, 0x0800, 6, 4, 1)
frame += me + socket.inet_aton('10.0.2.15') + bytes(6) + socket.inet_aton(sys.argv[1])
end = time.time() + 10
while time.time() < end:
    os.write(card, frame.ljust(60, b'\\0'))
    while select.select([card], [], [], 0.5)[0]:
        got = os.read(card, 2000)
        if got[12:14] == b'\\x08\\x06' and got[20:22] == b'\\0\\x02' and got[28:32] == socket.inet_aton(sys.argv[1]):
            print(got[22:28].hex()); sys.exit()
print('none')
`

describe.skipIf(why !== null)('a way out', () => {
  it('each of two machines at once has its device, its bridge and its gateway, under the same names', async () => {
    const monitor = bench.monitor()
    await using one = await monitor.start(bench.spec('user'), soon())
    await using other = await monitor.start(bench.spec('user'), soon())
    expect(namespace(vmm(one), 'net')).not.toBe(namespace(vmm(other), 'net'))
    for (const machine of [one, other]) {
      const inside = ['nsenter', `--target=${vmm(machine)}`, '--net']
      const child = await startProcess(
        [...inside, 'python3', '-c', ASK, '10.0.2.2'],
        { stdio: ['ignore', 'pipe', 'inherit'] },
        soon(),
      )
      let said = ''
      child.stdout?.on('data', (part: Buffer) => (said += part.toString()))
      await child.exited
      expect(said.trim()).toMatch(/^[0-9a-f]{12}$/)
    }
  })

  it('goes with the machine, also one that is killed', async () => {
    const machine = await bench.monitor().start(bench.spec('user'), soon())
    const carriers = () =>
      spawnSync('pgrep', ['-P', String(process.pid), 'slirp4netns'], { encoding: 'utf8' }).stdout.trim()
    expect(carriers()).not.toBe('')
    process.kill(vmm(machine), 'SIGKILL')
    await machine.exited
    await machine[Symbol.asyncDispose]()
    await until('no carrier is left', () => carriers() === '')
  })
})

it('nothing of a machine outlives a daemon that is killed', async () => {
  using victim = await bundle('tests/vm/firecracker/victim.ts')
  const spec = bench.spec(why === null ? 'user' : 'none')
  const argv = [process.execPath, victim.program, bench.program(), JSON.stringify(spec)]
  const child = await startProcess(argv, { stdio: ['ignore', 'pipe', 'inherit'] }, soon(60_000))
  await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()))
  const pids = treeOf(child.pid).slice(1)
  expect(pids.length).toBeGreaterThanOrEqual(3)
  process.kill(child.pid, 'SIGKILL')
  await child.exited
  const running = (pid: number) => spawnSync('test', ['-e', join('/proc', String(pid), 'exe')]).status === 0
  await until(`none of ${pids.join(', ')} runs`, () => !pids.some(running))
})
