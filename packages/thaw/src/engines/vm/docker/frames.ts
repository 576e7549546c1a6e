/** What a program without a terminal prints: frames of a stream's number, three zeros, a length in 32 bits, and so many bytes. */
const HEAD = 8
const STDERR = 2

/** Returns a consumer of chunks that hands on what was printed, as it comes. */
export function splitPrinted(
  onPrinted: (stream: 'stdout' | 'stderr', bytes: Buffer) => void,
): (chunk: Buffer) => void {
  let head: Buffer = Buffer.alloc(0)
  let left = 0
  let stream: 'stdout' | 'stderr' = 'stdout'
  return (chunk) => {
    for (let rest = chunk; rest.length > 0;) {
      if (left === 0) {
        const wanted = HEAD - head.length
        head = Buffer.concat([head, rest.subarray(0, wanted)])
        rest = rest.subarray(wanted)
        if (head.length < HEAD) return
        stream = head[0] === STDERR ? 'stderr' : 'stdout'
        left = head.readUInt32BE(4)
        head = Buffer.alloc(0)
        continue
      }
      const part = rest.subarray(0, left)
      rest = rest.subarray(part.length)
      left -= part.length
      onPrinted(stream, part)
    }
  }
}
