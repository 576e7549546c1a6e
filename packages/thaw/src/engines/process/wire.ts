/** Records between the daemon and a sandbox: docs/sandbox-protocol.md. */

const LONGEST = 64 * 1024 * 1024

/** @throws RangeError for a word with a NUL in it, or a record that is too long */
export function encodeRecord(words: readonly string[]): Buffer {
  if (words.some((word) => word.includes('\0'))) throw new RangeError('a word holds a NUL')
  const body = Buffer.from(words.map((word) => `${word}\0`).join(''))
  if (body.length > LONGEST) throw new RangeError(`record of more than ${LONGEST} bytes`)
  const out = Buffer.allocUnsafe(4 + body.length)
  out.writeUInt32LE(body.length)
  body.copy(out, 4)
  return out
}

/** Returns a consumer of chunks that hands on whole records. */
export function splitRecords(onRecord: (words: string[]) => void): (chunk: Buffer) => void {
  let kept: Buffer = Buffer.alloc(0)
  return (chunk) => {
    kept = kept.length === 0 ? chunk : Buffer.concat([kept, chunk])
    while (kept.length >= 4) {
      const size = kept.readUInt32LE()
      if (size === 0 || size > LONGEST) throw new RangeError(`record of ${size} bytes`)
      if (kept.length < 4 + size) return
      const words = kept.toString('utf8', 4, 3 + size).split('\0')
      kept = Buffer.from(kept.subarray(4 + size))
      onRecord(words)
    }
  }
}
