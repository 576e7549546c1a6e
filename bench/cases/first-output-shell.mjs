import { join } from 'node:path'

import { median } from '../measure.mjs'
import { edit } from '../workbench.mjs'

export const name = 'first output, shell'
export const what = 'edit to first new output beyond the program’s own work, `thaw run` from the shell, 50 MB'
export const target = 70
export const unit = 'ms'

export async function measure(bench, rounds) {
  const project = bench.project('heap.py')
  const file = join(project, 'heap.py')
  await bench.thaw(project, ['heap.py'], { outcome: 'cold' })
  const samples = { thaw: [], thaw_without_standby: [], empty_node: [] }
  let edits = 0
  const first = async (standby) => {
    edit(file, `, ${edits}, flush`, `, ${++edits}, flush`)
    const wanted = `late 150000 ${edits}\n`
    let seen = ''
    let arrived = null
    const { seconds } = await bench.thaw(project, ['heap.py'], {
      outcome: 'resumed',
      standby,
      watch: (chunk, since) => {
        seen += chunk
        if (arrived === null && seen.includes(wanted)) arrived = since
      },
    })
    if (arrived === null)
      throw new Error(`the new line never came within ${seconds} s: ${JSON.stringify(seen)}`)
    return arrived
  }
  for (let round = -1; round < 3 * rounds; round++) {
    const [standby, without] = [await first(true), await first(false)]
    const bare = await bench.node(['-e', '0'])
    if (round < 0) continue
    samples.thaw.push(standby)
    samples.thaw_without_standby.push(without)
    samples.empty_node.push(bare.seconds)
  }
  const [value, without, node] = Object.values(samples).map((values) => 1000 * median(values))
  return {
    value,
    samples,
    note: `with no process standing by: ${without.toFixed(0)} ms; \`node -e 0\` alone takes ${node.toFixed(0)} ms here`,
  }
}
