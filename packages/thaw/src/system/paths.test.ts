import { expect, it } from 'vitest'
import { findPaths } from './paths.js'

const runtime = (env: Record<string, string>) => findPaths(env).runtime

it('gives each state a daemon of its own', () => {
  const one = runtime({ HOME: '/home/one' })
  expect(one).toBe(runtime({ HOME: '/home/one', XDG_STATE_HOME: '/home/one/.local/state' }))
  expect(one).not.toBe(runtime({ HOME: '/home/two' }))
  expect(one).not.toBe(runtime({ HOME: '/home/one', XDG_STATE_HOME: '/elsewhere' }))
  const run = { XDG_RUNTIME_DIR: '/run/user/7' }
  expect(runtime({ HOME: '/home/one', ...run })).toMatch(/^\/run\/user\/7\/thaw-[0-9a-f]{8}$/)
  expect(runtime({ HOME: '/home/one', ...run })).not.toBe(runtime({ HOME: '/home/two', ...run }))
  expect(runtime({ HOME: '/home/one', THAW_HOME: '/th' })).toBe('/th/run')
})

it('refuses a socket whose path the kernel would not take', () => {
  expect(() => findPaths({ THAW_HOME: `/${'x'.repeat(100)}` })).toThrow(/SOCKET_PATH_TOO_LONG|bytes/)
})
