import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['thaw-source', 'module', 'node', 'default'] },
  ssr: { resolve: { conditions: ['thaw-source', 'module', 'node', 'default'] } },
  test: {
    pool: 'forks',
    // Each test file may start a daemon and Python processes of its own; more at a time only adds noise.
    maxWorkers: 2,
    include: ['packages/*/src/**/*.test.ts', 'tests/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
