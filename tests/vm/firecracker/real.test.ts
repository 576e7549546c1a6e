/** Against a real Firecracker, where there is one: it needs KVM. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { FirecrackerMonitor } from '../../../packages/thaw/src/engines/vm/firecracker/machine.js'
import {
  askFirecracker,
  namedFirecracker,
} from '../../../packages/thaw/src/engines/vm/firecracker/versions.js'
import { VmmProcess } from '../../../packages/thaw/src/engines/vm/firecracker/vmm-process.js'
import { Guest } from '../../../packages/thaw/src/engines/vm/guest/guest.js'
import type { Machine } from '../../../packages/thaw/src/engines/vm/monitor.js'
import { Bench as Machines, provider, shell, SHAPE, whyNot } from '../../support/vm.js'
import { Bench, soon } from './bench.js'

const named = process.env['THAW_FIRECRACKER'] ?? ''
const why = named === '' ? 'THAW_FIRECRACKER names no program' : await whyNot()
if (why !== null) console.warn(`tests/vm/firecracker/real.test.ts is skipped: ${why}`)

describe.skipIf(why !== null)('a real Firecracker', () => {
  it('says what it is, takes a machine, and refuses one without a kernel', async () => {
    using bench = new Bench()
    const binary = namedFirecracker() ?? ''
    const { version } = await askFirecracker(binary, soon())
    const directory = bench.empty()
    await using vmm = await VmmProcess.start({ binary, id: 'thaw', directory, network: 'none' }, soon())
    expect(await vmm.api.version(soon())).toBe(version)
    expect(await vmm.api.instance(soon())).toMatchObject({ id: 'thaw', state: 'Not started' })
    const machine = { vcpu_count: 1, mem_size_mib: 128, smt: false, track_dirty_pages: false }
    await vmm.api.configure(machine, soon())
    await vmm.api.vsock({ guest_cid: 3, uds_path: 'agent.sock' }, soon())
    await vmm.api.entropy(soon())
    await expect(vmm.api.start(soon())).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
    await expect(
      vmm.api.bootSource({ kernel_image_path: join(directory, 'none'), boot_args: '' }, soon()),
    ).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
  })

  it('boots a machine, copies it, and goes on in two copies that are apart', async () => {
    await using machines = await Machines.open()
    const at = (name: string) => {
      mkdirSync(join(machines.directory, name))
      return join(machines.directory, name)
    }
    const monitor = new FirecrackerMonitor(named)
    const kernel = await (await provider.get(() => {}, soon())).kernel()
    const spec = { shape: SHAPE, kernel, disk: machines.disk, directory: at('first') }
    await using first = await monitor.start(spec, soon(60_000))
    const guest = new Guest(first.channel)
    const renewed = async (machine: Machine, own: Guest, hostname: string) => {
      await own.renew({ hostname, network: null }, soon())
      expect(await shell(own, 'uname -n')).toBe(hostname)
      return machine
    }
    await guest.booted(soon(60_000))
    await renewed(first, guest, 'first')
    await shell(guest, 'echo kept > /kept; echo in memory > /dev/shm/kept')
    await guest.hold(soon())
    await first.pause(soon())
    const snapshot = at('snapshot')
    await first.save(snapshot, { stop: true }, soon(60_000))

    const restore = (name: string) =>
      monitor.restore({ shape: SHAPE, snapshot, directory: at(name) }, soon(60_000))
    await using one = await restore('one')
    await using two = await restore('two')
    const numbers: string[] = []
    for (const [machine, name] of [
      [one, 'one'],
      [two, 'two'],
    ] as const) {
      const own = new Guest(machine.channel)
      await machine.resume(soon())
      await renewed(machine, own, name)
      expect(await shell(own, 'cat /kept /dev/shm/kept; ls /of-another 2>/dev/null || true')).toBe(
        'kept\nin memory',
      )
      await shell(own, 'touch /of-another')
      numbers.push(await shell(own, 'head -c 16 /dev/urandom | od -An -tx1'))
    }
    expect(numbers[0]).not.toBe(numbers[1])
  })
})
