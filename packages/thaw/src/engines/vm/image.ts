/** A snapshot of a machine on disk: a directory, with manifest.json written last. Format: docs/vm-images.md. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../../system/index.js'
import type { AnyImage } from '../engine.js'
import { checkSizes, MANIFEST, moveWhole, readManifest, removeSealed, syncAll } from '../sealed.js'
import type { MachineShape, MonitorIdentity } from './monitor.js'

/** Raised when what is written could not be read by an older thaw. */
const FORMAT = 3

export const Manifest = z.object({
  format: z.literal(FORMAT),
  engine: z.literal('vm'),
  /** Where it can be restored. */
  monitor: z.object({
    monitor: z.enum(['qemu', 'firecracker']),
    version: z.string(),
    machine: z.string(),
    cpu: z.string(),
    devices: z.array(z.string()),
    /** Digest of the host's processor features; null under emulation, which does not depend on them. */
    processor: z.string().nullable(),
  }),
  shape: z.object({ memory: z.number(), cpus: z.number(), network: z.enum(['none', 'user']) }),
  /** Of its kernel. */
  release: z.string(),
  /** The program that the machine is there for: its number in the guest's protocol, and its pid inside. */
  program: z.object({ line: z.number(), pid: z.number() }).nullable(),
  /** The highest number of a line in that protocol that may be in use. */
  lines: z.number(),
  /** Bytes of every file of it. */
  sizes: z.record(z.string(), z.number()),
})
export type Manifest = z.infer<typeof Manifest>

export class VmImage implements AnyImage {
  readonly engine = 'vm'
  readonly inPlace = true
  readonly directory: string
  readonly manifest: Manifest

  constructor(directory: string, manifest: Manifest) {
    this.directory = directory
    this.manifest = manifest
  }

  /** @throws ThawError IMAGE_BROKEN, IMAGE_MISMATCH */
  static open(directory: string): VmImage {
    return new VmImage(directory, readManifest(directory, Manifest, FORMAT))
  }

  get alive(): boolean {
    return statSync(join(this.directory, MANIFEST), { throwIfNoEntry: false }) !== undefined
  }

  /** Bytes that it takes on the disk; the memory has holes. */
  get size(): number {
    return Object.keys(this.manifest.sizes).reduce(
      (sum, name) =>
        sum + (statSync(join(this.directory, name), { throwIfNoEntry: false })?.blocks ?? 0) * 512,
      0,
    )
  }

  /** @throws ThawError IMAGE_BROKEN naming the file that is not whole */
  check(): void {
    checkSizes(this.directory, this.manifest.sizes)
  }

  /** What here differs from where it was made, in words; none: it fits. */
  differences(here: Manifest['monitor']): string[] {
    const there = this.manifest.monitor
    const said: string[] = []
    const compare = (name: string, was: string, is: string) => {
      if (was !== is) said.push(`${name} was ${was}, is ${is}`)
    }
    compare('the monitor', there.monitor, here.monitor)
    compare(`the version of ${there.monitor}`, there.version, here.version)
    compare('the machine', there.machine, here.machine)
    compare('the model of its processors', there.cpu, here.cpu)
    compare('the list of its devices', there.devices.join(' '), here.devices.join(' '))
    if (there.processor !== here.processor) said.push('the processor has other features')
    return said
  }

  async remove(): Promise<void> {
    await removeSealed(this.directory)
  }
}

/**
 * Makes a directory of a monitor's files an image under its final name: everything to disk, the manifest last.
 *
 * @throws ThawError DISK_FULL or what the file system said
 */
export async function sealImage(
  draft: string,
  directory: string,
  about: {
    monitor: MonitorIdentity & { processor: string | null }
    shape: MachineShape
    release: string
    program: Manifest['program']
    lines: number
  },
): Promise<VmImage> {
  const manifest: Manifest = { ...about, format: FORMAT, engine: 'vm', sizes: await syncAll(draft, '') }
  await writeFileAtomic(join(draft, MANIFEST), `${JSON.stringify(manifest)}\n`)
  await moveWhole(draft, directory)
  return new VmImage(directory, manifest)
}
