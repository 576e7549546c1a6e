import { BaseSequencer, type Reporter, type TestSpecification } from 'vitest/node'
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

/** Names at the end what has passed only at its second try, so that luck with clocks is seen. */
const secondTries: Reporter = {
  onTestRunEnd(modules) {
    const names = modules.flatMap((module) =>
      [...module.children.allTests()]
        .filter((test) => (test.diagnostic()?.retryCount ?? 0) > 0 && test.result().state === 'passed')
        .map((test) => `${module.relativeModuleId}: ${test.fullName}`),
    )
    if (names.length > 0) console.log(`passed at the second try: ${names.length}\n  ${names.join('\n  ')}`)
  },
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
    // Programs are stopped and restarted under clocks, on machines that are shared: one test in a thousand meets a pause of seconds.
    // What compares results with cold runs has no second try.
    retry: 1,
    reporters: ['default', secondTries],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
