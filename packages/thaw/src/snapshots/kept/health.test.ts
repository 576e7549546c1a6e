import fc from 'fast-check'
import { expect, it } from 'vitest'
import { advance, MOST_REBUILDS, NEW, SETTLED, STRIKES, type Health, type HealthEvent } from './health.js'

const after = (events: HealthEvent[], from: Health = NEW) =>
  events.reduce((health, event) => advance(health, event, 1000), from)
const failed: HealthEvent = { what: 'failed', reason: 'it did not listen' }

it('is unhealthy at the third failure in a row, and rebuilt at once', () => {
  const ready = after([{ what: 'built' }])
  expect(ready.state).toBe('ready')
  const twice = after([failed, failed, { what: 'used' }, failed, failed], ready)
  expect(twice).toMatchObject({ state: 'ready', failure_count: 4, success_count: 1, consecutive_failures: 2 })
  const third = after([failed], twice)
  expect(third).toMatchObject({ state: 'unhealthy', reason: 'it did not listen', rebuild_at: 1000 })
  const rebuilt = after([{ what: 'build begun', asked: false }, { what: 'built' }], third)
  expect(rebuilt).toMatchObject({ state: 'ready', consecutive_failures: 0, rebuild_at: null, rebuilds: 1 })
})

it('is used while the one that replaces it is being built, and stays when that fails', () => {
  const ready = after([{ what: 'built' }, { what: 'build begun', asked: true }])
  expect(ready.state).toBe('ready')
  expect(after([{ what: 'build failed', reason: 'disk full' }], ready).state).toBe('ready')
})

it('stays deleted', () => {
  const deleted = after([{ what: 'built' }, { what: 'deleted' }])
  expect(after([{ what: 'build begun', asked: true }, { what: 'built' }, failed], deleted)).toEqual(deleted)
})

it('never rebuilds in a loop, whatever happens when', () => {
  const what = fc.constantFrom<HealthEvent['what']>(
    'built',
    'build failed',
    'used',
    'failed',
    'failed',
    'failed',
  )
  const steps = fc.array(fc.tuple(what, fc.integer({ min: 0, max: 600_000 })), { maxLength: 400 })
  fc.assert(
    fc.property(steps, (list) => {
      let health = advance(NEW, { what: 'built' }, 0)
      let now = 0
      const rebuilds: number[] = []
      for (const [name, pause] of list) {
        now += pause
        // What the keeper does: an eager one, which looks at every moment.
        if (health.rebuild_at !== null && health.rebuild_at <= now) {
          rebuilds.push(now)
          health = advance(health, { what: 'build begun', asked: false }, now)
        }
        health = advance(health, { what: name, reason: 'x' } as HealthEvent, now)
        expect(health.consecutive_failures >= STRIKES && health.state === 'ready').toBe(false)
      }
      for (const [index, at] of rebuilds.entries()) {
        const hour = rebuilds.filter((other) => other >= at && other - at < SETTLED)
        expect(hour.length).toBeLessThanOrEqual(MOST_REBUILDS)
        expect((rebuilds[index + 1] ?? Infinity) - at).toBeGreaterThanOrEqual(60_000)
      }
    }),
  )
})
