/** Longest line accepted. A longer one is a defect of the sender, or not ours. */
const LINE_LIMIT = 64 * 1024 * 1024

/** Returns a consumer of chunks that hands on complete lines, decoded as UTF-8. */
export function splitLines(onLine: (line: string) => void): (chunk: Buffer) => void {
  let kept: Buffer[] = []
  let size = 0
  return (chunk) => {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const piece = chunk.subarray(from, at)
      const line = kept.length === 0 ? piece : Buffer.concat([...kept, piece])
      kept = []
      size = 0
      from = at + 1
      if (line.length > 0) onLine(line.toString())
    }
    if (from === chunk.length) return
    kept.push(Buffer.from(chunk.subarray(from)))
    size += chunk.length - from
    if (size > LINE_LIMIT) throw new RangeError(`line of more than ${LINE_LIMIT} bytes`)
  }
}
