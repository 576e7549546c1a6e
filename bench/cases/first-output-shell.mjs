import { join } from 'node:path'

import { median, now } from '../measure.mjs'
import { edit } from '../workbench.mjs'

export const name = 'first output, shell'
export const what = 'edit to first new output beyond the program’s own work, `thaw run` from the shell, 50 MB'
export const target = 70
export const unit = 'ms'

export async function measure(bench, rounds) {
  const project = bench.project('heap.py')
  const file = join(project, 'heap.py')
  await bench.thaw(project, ['heap.py'], { outcome: 'cold' })
  const thaw = []
  const node = []
  for (let round = -1; round < 3 * rounds; round++) {
    edit(file, `, ${round + 1}, flush`, `, ${round + 2}, flush`)
    const wanted = `late 150000 ${round + 2}\n`
    let seen = ''
    let arrived = null
    const started = now()
    await bench.thaw(project, ['heap.py'], {
      outcome: 'resumed',
      watch: (chunk) => {
        seen += chunk
        if (arrived === null && seen.includes(wanted)) arrived = now()
      },
    })
    if (arrived === null) throw new Error(`the new line never came: ${JSON.stringify(seen)}`)
    const bare = await bench.node(['-e', '0'])
    if (round >= 0) {
      thaw.push(arrived - started)
      node.push(bare.seconds)
    }
  }
  return {
    value: 1000 * median(thaw),
    samples: { thaw, empty_node: node },
    note: `\`node -e 0\` alone takes ${(1000 * median(node)).toFixed(0)} ms here`,
  }
}
