import { expect, it } from 'vitest'
import * as fc from 'fast-check'
import { controlFrame, FRAME, FRAME_LIMIT, frameHeader, FrameReader } from './frames.js'

it('gives back what was framed, however the bytes are cut', () => {
  const message = fc.oneof(
    fc.record({ type: fc.constant('control'), value: fc.jsonValue() }),
    fc.record({ type: fc.constantFrom('stdout', 'stderr', 'stdin'), value: fc.uint8Array({ minLength: 1 }) }),
  )
  fc.assert(
    fc.property(fc.array(message), fc.integer({ min: 1, max: 9 }), (messages, cut) => {
      const bytes = Buffer.concat(
        messages.flatMap(({ type, value }) =>
          value instanceof Uint8Array
            ? [frameHeader(FRAME[type as 'stdout'], value.length), value]
            : [controlFrame(value)],
        ),
      )
      const reader = new FrameReader()
      const seen: Record<string, Buffer> = {}
      const controls: unknown[] = []
      for (let at = 0; at < bytes.length; at += cut) {
        reader.push(bytes.subarray(at, at + cut), (type, payload) => {
          if (type === FRAME.control) controls.push(JSON.parse(Buffer.from(payload).toString()))
          else seen[type] = Buffer.concat([seen[type] ?? Buffer.alloc(0), payload])
        })
      }
      expect(controls).toEqual(
        messages
          .filter((one) => one.type === 'control')
          .map((one) => JSON.parse(JSON.stringify(one.value)) as unknown),
      )
      for (const name of ['stdout', 'stderr', 'stdin'] as const) {
        const sent = messages.filter((one) => one.type === name).map((one) => one.value as Uint8Array)
        expect(seen[FRAME[name]] ?? Buffer.alloc(0)).toEqual(Buffer.concat(sent))
      }
    }),
  )
})

it('refuses unknown types and frames beyond the limit', () => {
  const push = (header: Uint8Array) => () => new FrameReader().push(header, () => {})
  expect(push(frameHeader(9, 1))).toThrow(RangeError)
  expect(push(frameHeader(FRAME.stdout, FRAME_LIMIT + 1))).toThrow(RangeError)
})
