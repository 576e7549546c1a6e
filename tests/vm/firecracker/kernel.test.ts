/** The kernel that Firecracker is given, unpacked from the distribution's: does it boot? QEMU loads ELF files, too. */
import { copyFileSync, statSync, truncateSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { elfKernel } from '../../../packages/thaw/src/engines/vm/firecracker/kernel-image.js'
import { kernelWords, machineWords } from '../../../packages/thaw/src/engines/vm/qemu/flags.js'
import { startProcess } from '../../../packages/thaw/src/system/index.js'
import { provider, SHAPE, whyNot } from '../../support/vm.js'
import { Bench, soon } from './bench.js'

const why = await whyNot()
if (why !== null) console.warn(`tests/vm/firecracker/kernel.test.ts is skipped: ${why}`)

describe.skipIf(why !== null)("the distribution's kernel", () => {
  it('boots as an ELF file, up to the guest program', async () => {
    using bench = new Bench()
    const tools = await provider.get(() => {}, soon())
    const { image, initrd } = await tools.kernel()
    const directory = bench.empty()
    const own = `${directory}/vmlinuz`
    copyFileSync(image, own)
    // QEMU lays what goes with an ELF file up to the end of memory, from the start of a page on, over the tables that the firmware
    // has put into the last kilobyte: all but the first bytes of the last page have to stay free.
    const padded = `${directory}/initrd`
    copyFileSync(initrd, padded)
    truncateSync(padded, Math.ceil(statSync(initrd).size / 4096) * 4096 + 16)
    const elf = await elfKernel(own, soon(60_000))
    const line = { type: 'microvm', accelerator: 'tcg', shape: SHAPE, firmware: tools.firmware } as const
    const words = ['-kernel', elf, '-initrd', padded, '-append', kernelWords('tcg', ['thaw_probe=1'])]
    const argv = [...tools.command('usr/bin/qemu-system-x86_64'), ...machineWords(line, null), ...words]
    const child = await startProcess(
      argv,
      { cwd: '/', stdio: ['ignore', 'pipe', 'inherit', 'pipe'] },
      soon(120_000),
    )
    let said = ''
    child.stdout?.on('data', (part: Buffer) => (said += part.toString('latin1')))
    child.pipe(3).on('error', () => {})
    await child.exited
    expect(said).toContain('thaw-guest: here')
  }, 150_000)
})
