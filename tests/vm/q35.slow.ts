/** Machines of the type q35: what is used where QEMU has no microvm, or cannot start one. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { VmImage } from '../../packages/thaw/src/engines/vm/image.js'
import { VmToolsProvider } from '../../packages/thaw/src/engines/vm/tools.js'
import { VmEngine, type VmBranch } from '../../packages/thaw/src/engines/vm/vm.js'
import { Bench, processesWith, provider, scope, shell, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm: skipped, ${reason}`)

const ELSEWHERE = 'the machine was q35, tcg, is microvm, tcg'

describe.skipIf(reason !== null)('a machine of the type q35', () => {
  let bench: Bench
  let branch: VmBranch
  let image: VmImage
  const clones: VmBranch[] = []

  beforeAll(async () => {
    process.env['THAW_MACHINE'] = 'q35'
    bench = await Bench.open()
    branch = await bench.boot()
  })
  beforeEach(() => void (process.env['THAW_MACHINE'] = 'q35'))
  afterEach(() => void delete process.env['THAW_MACHINE'])
  afterAll(async () => {
    const { directory } = bench
    await bench[Symbol.asyncDispose]()
    expect(processesWith(directory)).toEqual([])
  })

  it('is one, with its disk, channel and random numbers on the PCI bus', async () => {
    const { guest } = branch
    expect(await shell(guest, 'cat /sys/class/dmi/id/product_name')).toContain('Q35')
    const drivers = await shell(guest, 'for one in /sys/bus/pci/drivers/virtio-pci/0*; do echo found; done')
    expect(drivers.split('\n')).toEqual(['found', 'found', 'found'])
    expect(await shell(guest, 'cat /sys/class/misc/hw_random/rng_current')).toMatch(/^virtio_rng/)
  })

  it('is copied while it runs on; copies go on, apart from each other', async () => {
    await shell(branch.guest, 'echo before > /told; (sleep 1000; :) > /dev/null 2>&1 &')
    image = await bench.engine.checkpoint(bench.group, branch, {}, scope)
    expect(image.manifest.monitor.machine).toBe('q35, tcg')
    expect(image.manifest.monitor.devices).toContain('virtio-blk-pci,drive=d0')
    await shell(branch.guest, 'echo after > /told')
    for (const name of ['second', 'third']) {
      const clone = await bench.restore(image, name)
      clones.push(clone)
      const { guest } = clone
      expect(
        await shell(
          guest,
          `cat /told; hostname; grep -lx sleep /proc/[0-9]*/comm | wc -l; echo ${name} > /told`,
        ),
      ).toBe(`before\n${name}\n1`)
      expect(Math.abs(Number(await shell(guest, 'date +%s')) - Date.now() / 1000)).toBeLessThan(10)
    }
    const random = await Promise.all(
      clones.map(({ guest }) => shell(guest, 'head -c 16 /dev/urandom | od -An -tx1')),
    )
    expect(random[0]).not.toBe(random[1])
    expect(await shell(branch.guest, 'cat /told')).toBe('after')
  })

  it('is copied as a copy, which ends with it', async () => {
    const [second] = clones as [VmBranch]
    const child = await bench.engine.checkpoint(bench.group, second, { stop: true }, scope)
    const grandchild = await bench.restore(child, 'fourth')
    expect(
      await shell(grandchild.guest, 'cat /told; hostname; grep -lx sleep /proc/[0-9]*/comm | wc -l'),
    ).toBe('second\nfourth\n1')
  })

  it('is refused by machines of the other type, and these by it', async () => {
    process.env['THAW_MACHINE'] = 'microvm'
    const other = new VmEngine(provider)
    const how = { hostname: 'fifth', listener: { output: () => true } }
    await expect(other.restore(bench.group, image, how, scope)).rejects.toMatchObject({
      code: 'IMAGE_MISMATCH',
      message: expect.stringContaining(ELSEWHERE),
    })
    process.env['THAW_MACHINE'] = 'pc'
    await expect(new VmEngine(provider).monitor(scope)).rejects.toMatchObject({ code: 'INVALID_SETTING' })
  })
})

describe.skipIf(reason !== null)('where QEMU has no microvm', () => {
  it('machines are of the type q35, and doctor says why', async () => {
    const cache = mkdtempSync(join(tmpdir(), 'thaw-cache-'))
    try {
      const tools = await provider.get(() => {}, scope)
      const poor = join(cache, 'vm', 'tools', 'poor')
      mkdirSync(poor, { recursive: true })
      for (const name of readdirSync(tools.path)) symlinkSync(join(tools.path, name), join(poor, name))
      const record = JSON.parse(readFileSync(join(tools.path, 'vm.json'), 'utf8')) as { loader: string }
      // It is asked for by another name, which it does not know.
      const loader = join(tools.path, record.loader)
      writeFileSync(join(poor, 'loader'), `#!/bin/bash\nexec ${loader} "\${@/#microvm/absent}"\n`)
      chmodSync(join(poor, 'loader'), 0o755)
      rmSync(join(poor, 'vm.json'))
      writeFileSync(join(poor, 'vm.json'), JSON.stringify({ ...record, loader: 'loader' }))
      const engine = new VmEngine(new VmToolsProvider(cache))
      const [found] = await engine.probe(scope)
      expect(found).toMatchObject({ works: true, reason: null })
      expect(found?.name).toMatch(
        /\(q35, since microvm cannot be started \(.*unsupported machine type.*\)\) /,
      )
      const { machine } = await (await engine.monitor(scope)).identity(scope)
      expect(machine).toMatch(/^q35, /)
    } finally {
      rmSync(cache, { recursive: true, force: true })
    }
  })
})
