/** Against a real Firecracker, where there is one: it needs KVM. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  askFirecracker,
  namedFirecracker,
} from '../../../packages/thaw/src/engines/vm/firecracker/versions.js'
import { VmmProcess } from '../../../packages/thaw/src/engines/vm/firecracker/vmm-process.js'
import { Bench, soon } from './bench.js'

const named = process.env['THAW_FIRECRACKER'] ?? ''
if (named === '')
  console.warn('tests/vm/firecracker/real.test.ts is skipped: THAW_FIRECRACKER names no program')

describe.skipIf(named === '')('a real Firecracker', () => {
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
})
