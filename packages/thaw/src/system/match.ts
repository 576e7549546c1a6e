/** Of what was printed, so much is kept for a match across pieces. Bytes. */
const TAIL = 64 * 1024

/** Calls `found` once, as soon as what was printed so far matches. */
export function matcher(pattern: RegExp, found: () => void): (bytes: Buffer) => void {
  let tail = Buffer.alloc(0)
  return (bytes) => {
    tail = Buffer.concat([tail, bytes])
    if (pattern.test(tail.toString())) return found()
    // The line that is being printed may still come to match.
    if (tail.length > TAIL) tail = tail.subarray(-TAIL)
  }
}
