/** What is found on the machine: Firecracker, and kernels in the form in which distributions ship them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { elfKernel } from '../../../packages/thaw/src/engines/vm/firecracker/kernel-image.js'
import {
  askFirecracker,
  compareVersions,
  namedFirecracker,
} from '../../../packages/thaw/src/engines/vm/firecracker/versions.js'
import { VmImage, type Manifest } from '../../../packages/thaw/src/engines/vm/image.js'
import { Bench, soon } from './bench.js'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench[Symbol.dispose]())

it('takes the one that is named, and says when it cannot be started', () => {
  const program = bench.program()
  expect(namedFirecracker({})).toBeNull()
  expect(namedFirecracker({ THAW_FIRECRACKER: '' })).toBeNull()
  expect(namedFirecracker({ THAW_FIRECRACKER: program })).toBe(program)
  chmodSync(program, 0o644)
  for (const named of [program, '/none']) {
    expect(() => namedFirecracker({ THAW_FIRECRACKER: named })).toThrow(
      `names ${named}, which cannot be executed`,
    )
  }
})

it('asks it for its versions, and refuses what is too old or is no Firecracker', async () => {
  const path = bench.program()
  expect(await askFirecracker(path, soon())).toEqual({ path, version: '1.17.0', snapshotVersion: '12.0.0' })
  await expect(askFirecracker(bench.program({ version: '1.9.1' }), soon())).rejects.toMatchObject({
    code: 'ENGINE_MISSING',
    message: expect.stringMatching(/is Firecracker 1\.9\.1; 1\.10\.0 or later is needed/) as string,
  })
  await expect(askFirecracker('/bin/true', soon())).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
  await expect(askFirecracker(dirname(path), soon())).rejects.toMatchObject({ code: 'NOT_EXECUTABLE' })
  expect(compareVersions('1.10.0', '1.9.9')).toBeGreaterThan(0)
  expect(compareVersions('1.17.0-dev', '1.17.0')).toBe(0)
})

it('tells what a snapshot is tied to: format, version and the kernel of the host', async () => {
  const made = await bench.monitor().identity(soon())
  const here = await bench.monitor({ version: '1.18.0', snapshotVersion: '13.0.0' }).identity(soon())
  const image = new VmImage('', { monitor: { ...made, processor: 'x' } } as Manifest)
  expect(image.differences({ ...made, processor: 'x' })).toEqual([])
  const linux = `KVM of Linux ${release()}`
  expect(image.differences({ ...here, processor: 'y' })).toEqual([
    'the version of firecracker was 1.17.0, is 1.18.0',
    `the machine was snapshot format 12.0.0, ${linux}, is snapshot format 13.0.0, ${linux}`,
    'the processor has other features',
  ])
})

/** A bzImage as the kernel's documentation has it: setup sectors, the payload somewhere behind, its size at its end. */
function bzImage(
  content: Buffer,
  command: [string, ...string[]],
  about: { size?: number; cut?: number } = {},
): string {
  const [name, ...args] = command
  const packed = execFileSync(name, args, { input: content, maxBuffer: 1 << 24 })
  const size = Buffer.alloc(4)
  size.writeUInt32LE(about.size ?? content.length)
  const setup = Buffer.alloc(5 * 512)
  setup.writeUInt8(4, 0x1f1)
  setup.write('HdrS', 0x202, 'latin1')
  setup.writeUInt16LE(0x20f, 0x206)
  setup.writeUInt32LE(100, 0x248)
  setup.writeUInt32LE(packed.length + 4, 0x24c)
  const all = Buffer.concat([setup, randomBytes(100), packed, size, randomBytes(50)])
  return bench.file(all.subarray(0, all.length - (about.cut ?? 0)))
}
const kernel = () =>
  Buffer.concat([Buffer.from('\x7fELF', 'latin1'), randomBytes(1000), Buffer.alloc(3 << 20)])

for (const command of [
  ['gzip', '-c'],
  ['xz', '-c', '--check=crc32'],
  ['zstd', '-qc'],
  ['lz4', '-qc', '-l'],
] as [string, ...string[]][]) {
  const missing = spawnSync(command[0], ['--version']).error !== undefined
  it.skipIf(missing)(
    `unpacks a kernel that ${command[0]} packed${missing ? ' (skipped: it is not installed)' : ''}`,
    async () => {
      const content = kernel()
      const image = bzImage(content, command)
      const unpacked = await elfKernel(image, soon())
      expect(readFileSync(unpacked).equals(content)).toBe(true)
      expect(await elfKernel(image, soon())).toBe(unpacked)
    },
  )
}

it('takes an ELF file as it is', async () => {
  const image = bench.file(kernel())
  expect(await elfKernel(image, soon())).toBe(image)
})

it.each([
  ['text', () => bench.file('no kernel'), /neither an ELF file nor a bzImage/],
  ['cut off', () => bzImage(kernel(), ['gzip', '-c'], { cut: 200 }), /is cut off/],
  ['of another size', () => bzImage(kernel(), ['gzip', '-c'], { size: 5 }), /does not unpack to a kernel/],
  ['no ELF file inside', () => bzImage(Buffer.alloc(5000), ['gzip', '-c']), /does not unpack to a kernel/],
  ['packed otherwise', () => bzImage(kernel(), ['cat']), /compressed in a way that is not known/],
])('refuses what is no kernel: %s', async (_what, image, message) => {
  await expect(elfKernel(image(), soon())).rejects.toThrow(message)
})
