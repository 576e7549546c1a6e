import { generateModules, MODULES } from '../generate-modules.mjs'
import { alternate, median } from '../measure.mjs'

export const name = 'import'
export const what = `import of ${MODULES} modules and 11,000 lines under thaw (warm cache) against plain Python (warm .pyc), inside the process`
export const target = 1.3
export const unit = 'x'

export async function measure(bench, rounds) {
  const project = bench.project('imports.py')
  const lines = generateModules(project)
  const walls = { thaw: [], plain: [] }
  const imported = (side, result) => {
    walls[side].push(result.seconds)
    return Number(result.stdout)
  }
  const [thaw, plain] = await alternate(
    2 * rounds,
    async () =>
      imported('thaw', await bench.thaw(project, ['imports.py'], { flags: ['--fresh'], outcome: 'cold' })),
    async () => imported('plain', await bench.plain(project, ['imports.py'])),
  )
  const [slow, fast] = [median(walls.thaw), median(walls.plain)].map(
    (seconds) => `${(1000 * seconds).toFixed(0)} ms`,
  )
  return {
    value: median(thaw) / median(plain),
    samples: { thaw, plain, thaw_start_to_exit: walls.thaw, plain_start_to_exit: walls.plain },
    note: `${lines} lines; start to exit ${slow} against ${fast}`,
  }
}
