import fc from 'fast-check'
import { expect, it } from 'vitest'
import { splitPrinted } from './frames.js'

function frame(stream: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head[0] = stream
  head.writeUInt32BE(bytes.length, 4)
  return Buffer.concat([head, bytes])
}

it('hands on what was printed, however it arrives', () => {
  const part = fc.tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 40 }))
  fc.assert(
    fc.property(fc.array(part), fc.infiniteStream(fc.integer({ min: 1, max: 13 })), (parts, sizes) => {
      const printed = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
      const take = splitPrinted((stream, bytes) => printed[stream].push(bytes))
      const all = Buffer.concat(parts.map(([stream, bytes]) => frame(stream, Buffer.from(bytes))))
      for (let at = 0; at < all.length;) {
        const size = sizes.next().value
        take(all.subarray(at, at + size))
        at += size
      }
      const of = (wanted: number) =>
        Buffer.concat(parts.filter(([stream]) => stream === wanted).map(([, bytes]) => Buffer.from(bytes)))
      expect(Buffer.concat(printed.stdout)).toEqual(of(1))
      expect(Buffer.concat(printed.stderr)).toEqual(of(2))
    }),
  )
})
