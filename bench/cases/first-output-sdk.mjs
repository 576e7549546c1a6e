import { join } from 'node:path'

import { NodeClient } from '@thaw/sdk/node'

import { median, now } from '../measure.mjs'
import { edit } from '../workbench.mjs'

export const name = 'first output, SDK'
export const what =
  'edit to first new output beyond the program’s own work, through the SDK over the socket, 50 MB'
export const target = 15
export const unit = 'ms'

export async function measure(bench, rounds) {
  const project = bench.project('heap.py')
  const file = join(project, 'heap.py')
  await bench.thaw(project, ['heap.py'], { outcome: 'cold' })
  const client = new NodeClient(bench.query('daemon', 'status').socket)
  const samples = []
  for (let round = -1; round < 5 * rounds; round++) {
    edit(file, `, ${round + 1}, flush`, `, ${round + 2}, flush`)
    const wanted = `late 150000 ${round + 2}\n`
    let seen = ''
    let arrived = null
    const started = now()
    const { report } = await client.run([bench.python, 'heap.py'], {
      cwd: project,
      env: bench.env,
      onStdout: (chunk) => {
        seen += Buffer.from(chunk)
        if (arrived === null && seen.includes(wanted)) arrived = now() - started
      },
    })
    if (report.outcome !== 'resumed') throw new Error(`the run was ${report.outcome}: ${report.reason}`)
    if (arrived === null) throw new Error(`the new line never came: ${JSON.stringify(seen)}`)
    if (round >= 0) samples.push(arrived)
  }
  return { value: 1000 * median(samples), samples: { edit_to_output: samples } }
}
