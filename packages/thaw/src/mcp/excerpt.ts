/** Output in few words: its beginning, its end, and where the rest is. */

export interface Excerpt {
  text: string
  /** Of all of it. */
  bytes: number
  complete: boolean
}

/** What is kept of the beginning; the end tells more. */
const HEAD = 0.25

/**
 * At most about `most` bytes of a stream: whole where it is short, else its first and last lines.
 *
 * @param rest says where what is left out can be read
 */
export async function excerptOf(
  stream: AsyncIterable<Uint8Array>,
  most: number,
  rest: string,
): Promise<Excerpt> {
  const headSize = Math.floor(most * HEAD)
  const tailSize = most - headSize
  let head = Buffer.alloc(0)
  let tail = Buffer.alloc(0)
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    const missing = headSize - head.length
    if (missing > 0) head = Buffer.concat([head, chunk.subarray(0, missing)])
    const beyond = missing > 0 ? chunk.subarray(missing) : chunk
    if (beyond.length > 0) tail = Buffer.concat([tail, beyond.subarray(-tailSize)])
    if (tail.length > tailSize) tail = tail.subarray(-tailSize)
  }
  if (bytes <= most) return { text: Buffer.concat([head, tail]).toString('utf8'), bytes, complete: true }
  const first = head.subarray(0, head.lastIndexOf(10) + 1)
  const last = tail.subarray(tail.indexOf(10) + 1)
  const left = bytes - first.length - last.length
  return {
    text: `${first.toString('utf8')}[... ${left} bytes left out; ${rest}]\n${last.toString('utf8')}`,
    bytes,
    complete: false,
  }
}

/** Lines of a text that match, each with its number. */
export function matchingLines(text: string, pattern: RegExp): string[] {
  return text.split('\n').flatMap((line, i) => (pattern.test(line) ? [`${i + 1}: ${line}`] : []))
}
