import { expect, it } from 'vitest'
import { encodeRecord, splitRecords } from './wire.js'

it('brings records through in pieces of any size', () => {
  const records = [['ready'], ['start', '', 'ü', 'a b\n'], ['x'.repeat(3000)]]
  const bytes = Buffer.concat(records.map(encodeRecord))
  for (const size of [1, 3, 7, 4096, bytes.length]) {
    const got: string[][] = []
    const take = splitRecords((words) => got.push(words))
    for (let at = 0; at < bytes.length; at += size) take(bytes.subarray(at, at + size))
    expect(got).toEqual(records)
  }
})

it('takes neither a NUL nor a length that cannot be', () => {
  expect(() => encodeRecord(['a\0b'])).toThrow(RangeError)
  expect(() => splitRecords(() => {})(Buffer.from([0, 0, 0, 0]))).toThrow(RangeError)
  expect(() => splitRecords(() => {})(Buffer.from([255, 255, 255, 255]))).toThrow(RangeError)
})
