/**
 * The kernel as Firecracker loads it: an ELF file (on x86; a bzImage only from 1.17 on). Distributions ship bzImages, which hold
 * that file, compressed: Documentation/arch/x86/boot.rst in the kernel's sources, setup header from protocol 2.08 on.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { startProcess, ThawError, within, writeFileAtomic, type Scope } from '../../../system/index.js'

const ELF = Buffer.from('\x7fELF', 'latin1')
const HEADER = { magic: 0x202, version: 0x206, setupSectors: 0x1f1, payload: 0x248, length: 0x24c } as const
const SECTOR = 512

const UNPACKERS: readonly { magic: string; command: [string, ...string[]] }[] = [
  { magic: '1f8b08', command: ['gzip', '-dc'] },
  { magic: 'fd377a585a00', command: ['xz', '-dc'] },
  { magic: '28b52ffd', command: ['zstd', '-dcq'] },
  { magic: '02214c18', command: ['lz4', '-dcq'] },
]

/**
 * Path of the ELF file: the image itself where it is one, else unpacked beside it once.
 *
 * @throws ThawError IMAGE_BROKEN when it is no kernel, ENGINE_MISSING when nothing here unpacks it, DISK_FULL
 */
export async function elfKernel(image: string, scope: Scope): Promise<string> {
  const unpacked = `${image}.elf`
  if (existsSync(unpacked)) return unpacked
  const bytes = await readFile(image)
  if (bytes.subarray(0, ELF.length).equals(ELF)) return image
  const { payload, size } = payloadOf(bytes, image)
  const elf = await unpack(payload, size, image, scope)
  if (elf.length !== size || !elf.subarray(0, ELF.length).equals(ELF)) {
    throw new ThawError('IMAGE_BROKEN', `${image} does not unpack to a kernel.`)
  }
  await writeFileAtomic(unpacked, elf)
  return unpacked
}

/** The compressed part, and the bytes of what is in it: those are told by the last four. */
function payloadOf(bytes: Buffer, image: string): { payload: Buffer; size: number } {
  const isBzImage =
    bytes.length > HEADER.length + 4 &&
    bytes.toString('latin1', HEADER.magic, HEADER.magic + 4) === 'HdrS' &&
    bytes.readUInt16LE(HEADER.version) >= 0x208
  if (!isBzImage) throw new ThawError('IMAGE_BROKEN', `${image} is neither an ELF file nor a bzImage.`)
  const sectors = bytes.readUInt8(HEADER.setupSectors) || 4
  const start = (sectors + 1) * SECTOR + bytes.readUInt32LE(HEADER.payload)
  const end = start + bytes.readUInt32LE(HEADER.length)
  if (end > bytes.length || end - start < 8) throw new ThawError('IMAGE_BROKEN', `${image} is cut off.`)
  return { payload: bytes.subarray(start, end - 4), size: bytes.readUInt32LE(end - 4) }
}

async function unpack(payload: Buffer, size: number, image: string, scope: Scope): Promise<Buffer> {
  const unpacker = UNPACKERS.find(({ magic }) => payload.toString('hex', 0, magic.length / 2) === magic)
  if (unpacker === undefined) {
    throw new ThawError('ENGINE_MISSING', `${image} is compressed in a way that is not known here.`)
  }
  const [name] = unpacker.command
  let child
  try {
    child = await startProcess(unpacker.command, { cwd: '/', stdio: ['pipe', 'pipe', 'ignore'] }, scope)
  } catch (error) {
    if (ThawError.from(error).code !== 'COMMAND_NOT_FOUND') throw error
    throw new ThawError('ENGINE_MISSING', `${image} is unpacked by ${name}, which is not installed.`, {
      cause: error,
    })
  }
  const parts: Buffer[] = []
  let length = 0
  child.stdout?.on('data', (part: Buffer) => {
    length += part.length
    // More than was said is not worth the memory.
    if (length <= size) parts.push(part)
  })
  const closed = new Promise<void>((resolve) => child.stdout?.once('close', resolve))
  // It may end before it has taken everything; what it has put out tells.
  child.stdin?.on('error', () => {})
  child.stdin?.end(payload)
  await within(scope, `unpacking ${image}`, Promise.all([child.exited, closed]))
  return Buffer.concat(parts)
}
