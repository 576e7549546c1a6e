import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hunksOf, isOwn, linesOf, unified } from './differ.js'

const texts = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 30 })

describe('hunksOf', () => {
  it('leads from one text to the other', () => {
    fc.assert(
      fc.property(texts, texts, (one, other) => {
        const made: string[] = []
        let at = 0
        for (const { from, to, otherFrom, otherTo } of hunksOf(one, other)) {
          made.push(...one.slice(at, from), ...other.slice(otherFrom, otherTo))
          at = to
        }
        made.push(...one.slice(at))
        expect(made).toEqual(other)
      }),
    )
  })

  it('takes no more lines than it must', () => {
    expect(hunksOf([...'abcabba'], [...'cbabac'])).toHaveLength(4)
    expect(hunksOf(['a', 'b', 'c'], ['a', 'x', 'c'])).toEqual([{ from: 1, to: 2, otherFrom: 1, otherTo: 2 }])
  })

  it('ends in good time on texts that have nothing in common', () => {
    const many = (name: string) => Array.from({ length: 20_000 }, (_, n) => `${name}${n}`)
    expect(hunksOf(many('a'), many('b'))).toEqual([{ from: 0, to: 20_000, otherFrom: 0, otherTo: 20_000 }])
  })
})

describe('unified', () => {
  it('is what diff -u prints', () => {
    const one = linesOf('1\n2\n3\n4\n5\n6\n7\n8\n9\n')
    const other = linesOf('1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n')
    expect(unified(one, other, ['stdout (recorded)', 'stdout (cold)'], 100, '')).toBe(
      '--- stdout (recorded)\n+++ stdout (cold)\n@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+10\n',
    )
  })

  it('is bounded', () => {
    const one = Array.from({ length: 500 }, (_, n) => `${n}`)
    expect(unified(one, [], ['a', 'b'], 10, '(and more)').split('\n')).toHaveLength(12)
  })

  it('sees that the last line has no end', () => {
    expect(hunksOf(linesOf('a\nb'), linesOf('a\nb\n'))).toHaveLength(1)
  })
})

describe('isOwn', () => {
  it('holds where two cold runs differ in the same words', () => {
    expect(isOwn(['took 0.31 s'], ['took 0.42 s'], ['took 0.40 s'])).toBe(true)
    expect(isOwn(['took 0.31 s, 5 found'], ['took 0.42 s, 6 found'], ['took 0.40 s, 6 found'])).toBe(false)
    expect(isOwn(['x'], ['y'], ['y'])).toBe(false)
  })

  it('holds where lines come and go between cold runs', () => {
    expect(isOwn(['a', 'b'], ['a', 'x', 'b'], ['a', 'y', 'z', 'b'])).toBe(true)
    expect(isOwn(['a', 'b', 'c'], ['a', 'x', 'b', 'd'], ['a', 'y', 'z', 'b', 'd'])).toBe(false)
  })
})
