import { expect, it } from 'vitest'
import { outdated, type Candidate } from './retention.js'

const bounds = { count: 3, bytes: 100, unused: 1000 }
const one = (id: string, more: Partial<Candidate> = {}): Candidate => ({
  id,
  automatic: true,
  bytes: 10,
  used: 0,
  needed: false,
  ...more,
})

it('gives up nothing within the bounds', () => {
  expect(outdated([one('a'), one('b'), one('c')], bounds, 1000)).toEqual([])
})

it('gives up what was not used for long, unless somebody asked for it or needs it', () => {
  const all = [one('a'), one('b', { automatic: false }), one('c', { needed: true })]
  expect(outdated(all, bounds, 1001)).toEqual(['a'])
})

it('gives up the longest unused when there are too many, those made by itself first', () => {
  const all = [
    one('a', { used: 3 }),
    one('b', { used: 1 }),
    one('c', { automatic: false }),
    one('d', { used: 2 }),
  ]
  expect(outdated(all, bounds, 10)).toEqual(['b'])
  expect(outdated(all, { ...bounds, count: 0 }, 10)).toEqual(['b', 'd', 'a', 'c'])
})

it('gives up as many bytes as are too many, and no more', () => {
  const all = [one('a', { bytes: 60, used: 5 }), one('b', { bytes: 60, used: 4 }), one('c', { bytes: 10 })]
  expect(outdated(all, bounds, 10)).toEqual(['c', 'b'])
  expect(
    outdated(
      all.map((each) => ({ ...each, needed: true })),
      bounds,
      10,
    ),
  ).toEqual([])
})
