/** zstd, in WebAssembly; loaded where it is used, which is not in the daemon's own thread. */
import type * as Zstd from '@bokuweb/zstd-wasm'
import { ThawError } from '../system/error.js'

const LEVEL = 1
const MAGIC = 0xfd2fb528

let zstd: typeof Zstd

/** Before anything else here. */
export async function loadZstd(): Promise<void> {
  zstd = await import('@bokuweb/zstd-wasm')
  await zstd.init()
}

/** One frame. */
export function compress(bytes: Uint8Array): Uint8Array {
  return zstd.compress(bytes, LEVEL)
}

/**
 * @param frame one frame, that says how much it holds
 * @param most bytes that it may hold
 * @throws ThawError IMAGE_BROKEN
 */
export function decompress(frame: Buffer, most: number): Uint8Array {
  const size = contentSize(frame)
  try {
    const content = size === null || size > most ? null : zstd.decompress(frame)
    if (content !== null && content.length === size) return content
  } catch {
    // The library throws a number, or what its memory says.
  }
  throw new ThawError('IMAGE_BROKEN', 'Compressed data is damaged.')
}

/** What the header of a frame says (RFC 8878, 3.1.1.1); null: nothing, or too much for a number. */
function contentSize(frame: Buffer): number | null {
  if (frame.length < 6 || frame.readUInt32LE(0) !== MAGIC) return null
  const descriptor = frame[4] as number
  const isSingle = (descriptor & 0x20) !== 0
  const at = 5 + (isSingle ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] as number)
  const length = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] as number
  if (length === 0 || frame.length < at + length) return null
  const bytes = Buffer.alloc(8)
  frame.copy(bytes, 0, at, at + length)
  const size = Number(bytes.readBigUInt64LE())
  return length === 2 ? size + 256 : size
}
