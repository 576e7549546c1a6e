import { writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

import { environment } from '@thaw/sdk/node'
import { RunStream } from '@thaw/sdk/run-stream'

import { alternate, median, now } from '../measure.mjs'

export const name = 'restore, 1 GB'
export const what =
  'restore of a 1 GB program from the disk to its first reply, against one of 100 MB (process engine)'
export const target = 2.5
export const unit = 'x'

export async function measure(bench, rounds) {
  // criu is not fetched anew for a measurement.
  bench.env.XDG_CACHE_HOME = environment().XDG_CACHE_HOME ?? join(homedir(), '.cache')
  const project = bench.project('memory.py')
  const flags = ['--engine', 'process', '--break-output', 'ready']
  const stop = async (megabytes) => {
    const { report } = await bench.thaw(project, ['memory.py', String(megabytes)], {
      flags,
      outcome: 'stopped',
    })
    return report.checkpoint.id
  }
  const [large, small] = [await stop(1000), await stop(100)]
  writeFileSync(join(project, 'go'), '')
  const { socket } = bench.query('daemon', 'status')
  const resume = (id) => async () => {
    let replied = null
    const started = now()
    const request = { stdin: 'null' }
    const stream = await RunStream.open(socket, `/v1/checkpoints/${id}/stream`, request, {
      onStdout: (chunk) => {
        if (String(Buffer.from(chunk)).includes('reply')) replied ??= now() - started
      },
    })
    await stream.done
    if (replied === null) throw new Error('the program said nothing')
    return replied
  }
  const [of1000, of100] = await alternate(rounds, resume(large), resume(small))
  return {
    value: median(of1000) / median(of100),
    samples: { of1000, of100 },
    note: `${(1000 * median(of1000)).toFixed(0)} against ${(1000 * median(of100)).toFixed(0)} ms`,
  }
}
