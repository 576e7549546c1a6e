import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { defineConfig } from 'vitest/config'

/** What takes minutes, the longest first: begun last, it would run alone at the end. */
const LONG = [
  'tests/exactness/',
  'tests/agent/',
  'tests/process/',
  'tests/crash/',
  'tests/vm/',
  'tests/repair/',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONG.findIndex((part) => moduleId.includes(`/${part}`))
      return at < 0 ? LONG.length : at
    }
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  resolve: { conditions: ['thaw-source', 'module', 'node', 'default'] },
  ssr: { resolve: { conditions: ['thaw-source', 'module', 'node', 'default'] } },
  test: {
    pool: 'forks',
    // Each test file may start a daemon and Python processes of its own; more at a time only adds noise.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    include: ['packages/*/src/**/*.test.ts', 'tests/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
