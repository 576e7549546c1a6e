/** The initial file system of a machine: thaw's guest program, and the modules of the kernel that it needs at once. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { nativeProgram, writeFileAtomic } from '../../system/index.js'

/** In the order in which they need each other. What a kernel has built in is left out. */
const MODULES = [
  'drivers/virtio/virtio_mmio',
  'drivers/block/virtio_blk',
  'drivers/char/hw_random/virtio-rng',
  'net/core/failover',
  'drivers/net/net_failover',
  'drivers/net/virtio_net',
  'net/vmw_vsock/vsock',
  'net/vmw_vsock/vmw_vsock_virtio_transport_common',
  'net/vmw_vsock/vmw_vsock_virtio_transport',
  'fs/overlayfs/overlay',
]
const DIRECTORY = 0o040755
const PROGRAM = 0o100755
const FILE = 0o100644
const CONSOLE = { mode: 0o020600, device: [5, 1] as const }

/**
 * @param modules directory of the kernel's modules
 * @param cache where it is kept, by content
 * @returns the file
 */
export async function makeInitrd(modules: string, cache: string): Promise<string> {
  const archive = new Archive()
  archive.add('init', PROGRAM, readFileSync(nativeProgram('guest')))
  archive.add('dev', DIRECTORY)
  archive.add('dev/console', CONSOLE.mode, Buffer.alloc(0), CONSOLE.device)
  archive.add('modules', DIRECTORY)
  for (const [index, name] of MODULES.entries()) {
    const file = [`${name}.ko.xz`, `${name}.ko`]
      .map((one) => join(modules, 'kernel', one))
      .find((one) => existsSync(one))
    if (file === undefined) continue
    const called = `modules/${10 + index}-${file.slice(file.lastIndexOf('/') + 1)}`
    archive.add(called, FILE, readFileSync(file))
  }
  const bytes = archive.end()
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  const file = join(cache, `initrd-${digest}.cpio`)
  if (statSync(file, { throwIfNoEntry: false })?.size !== bytes.length) await writeFileAtomic(file, bytes)
  return file
}

/** A cpio archive in the kernel's format, `newc` (Documentation/driver-api/early-userspace/buffer-format.rst). */
class Archive {
  readonly #parts: Buffer[] = []
  #inode = 1

  add(name: string, mode: number, content = Buffer.alloc(0), device: readonly [number, number] = [0, 0]) {
    const bytes = Buffer.from(`${name}\0`)
    const numbers = [this.#inode++, mode, 0, 0, 1, 0, content.length, 0, 0, ...device, bytes.length, 0]
    const head = `070701${numbers.map((one) => one.toString(16).padStart(8, '0')).join('')}`
    this.#parts.push(padded(Buffer.concat([Buffer.from(head), bytes])), padded(content))
  }

  end(): Buffer {
    this.add('TRAILER!!!', 0)
    return Buffer.concat(this.#parts)
  }
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}
