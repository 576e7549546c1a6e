import { median } from '../measure.mjs'

export const name = 'checkpoint'
export const what =
  'what a fork checkpoint holds the program up, against a bare fork() of the same process (50 MB of Python objects)'
export const target = 1.5
export const unit = 'x'

const FUNCTIONS = 20

export async function measure(bench, rounds) {
  const project = bench.project('forks.py')
  const checkpoint = []
  const fork = []
  for (let round = 0; round < Math.ceil(rounds / 2); round++) {
    const bare = await bench.plain(project, ['forks.py', 'bare'])
    fork.push(...bare.stdout.trim().split('\n').map(Number))
    const run = await bench.thaw(project, ['forks.py'], { flags: ['--fresh'], outcome: 'cold' })
    checkpoint.push(...pauses(run, bench.query('tree', run.report.run)))
  }
  return {
    value: median(checkpoint) / median(fork),
    samples: { checkpoint, fork },
    note: `${(1000 * median(checkpoint)).toFixed(2)} ms against ${(1000 * median(fork)).toFixed(2)} ms, medians of ${checkpoint.length} and ${fork.length}`,
  }
}

/** The pauses before those functions that this run's branch took a checkpoint before. */
function pauses(run, tree) {
  const branch = tree.branches.filter(({ outcome }) => outcome === 'cold').at(-1)
  const taken = new Set(
    tree.checkpoints
      .filter((one) => one.branch === branch.id)
      .map((one) => one.before.unit?.replace(/#\d+$/, '')),
  )
  const held = run.stdout
    .trim()
    .split('\n')
    .map(Number)
    .filter((_, index) => taken.has(`step_${index + 1}`))
  if (held.length < FUNCTIONS / 2)
    throw new Error(`checkpoints before only ${held.length} of ${FUNCTIONS} functions`)
  return held
}
