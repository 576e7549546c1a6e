/** Frames between the daemon and the guest program of a machine: docs/guest-protocol.md. */
import { z } from 'zod'

/** Of the whole frame but its length; the guest holds no more. */
const LONGEST = 1 << 20
const HEAD = 9

/** To the guest. */
export type Request = 'R' | 'P' | 'S' | 'B' | 'C' | 'Q' | 'G' | 'H' | 'I' | 'E' | 'A' | 'D' | 'K' | 'W'
/** From the guest. */
const Type = z.enum(['h', 'r', 's', 'f', 'q', 'o', 'e', 'a', 'x'])
export type Answer = z.infer<typeof Type>

export interface Frame {
  type: Answer
  line: number
  body: Buffer
}

export function encodeFrame(type: Request, line: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  if (body.length + 5 > LONGEST) throw new RangeError(`frame of more than ${LONGEST} bytes`)
  const head = Buffer.alloc(HEAD)
  head.writeUInt32LE(body.length + 5)
  head.write(type, 4, 'latin1')
  head.writeUInt32LE(line, 5)
  return Buffer.concat([head, body])
}

/** @throws RangeError for a word with a NUL in it */
export function encodeWords(words: readonly string[]): Buffer {
  if (words.some((word) => word.includes('\0'))) throw new RangeError('a word holds a NUL')
  return Buffer.from(words.map((word) => `${word}\0`).join(''))
}

export function decodeWords(body: Buffer): string[] {
  return body.toString('utf8', 0, Math.max(0, body.length - 1)).split('\0')
}

export function number(value: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32LE(value)
  return out
}

/** Returns a consumer of chunks that hands on whole frames. @throws RangeError, from the consumer, for what is none */
export function splitFrames(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let kept: Buffer = Buffer.alloc(0)
  return (chunk) => {
    kept = kept.length === 0 ? chunk : Buffer.concat([kept, chunk])
    while (kept.length >= HEAD) {
      const size = kept.readUInt32LE()
      if (size < 5 || size > LONGEST) throw new RangeError(`frame of ${size} bytes`)
      if (kept.length < 4 + size) return
      const type = Type.safeParse(kept.toString('latin1', 4, 5))
      if (!type.success) throw new RangeError('frame of no known type')
      const frame = { type: type.data, line: kept.readUInt32LE(5), body: kept.subarray(HEAD, 4 + size) }
      kept = kept.subarray(4 + size)
      onFrame(frame)
    }
  }
}
