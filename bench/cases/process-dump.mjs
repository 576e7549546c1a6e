import { alternate, median, milliseconds, now } from '../measure.mjs'
import { bareDump, live, prepare } from '../processes.mjs'

export const name = 'process checkpoint'
export const what = 'checkpoint of a live 100 MB program, ask to answer, against bare `criu dump` of it'
export const target = 1.3
export const unit = 'x'

export async function measure(bench, rounds) {
  await prepare(bench)
  const program = await live(bench, 100)
  const checkpoint = async () => {
    const started = now()
    const { id } = await program.client.runs.takeCheckpoint(program.run)
    const seconds = now() - started
    await program.client.runs.remove(id)
    return seconds
  }
  try {
    const [ours, bare] = await alternate(2 * rounds, checkpoint, () => bareDump(bench, program))
    const [seconds, synced] = ['seconds', 'synced'].map((name) => bare.map((one) => one[name]))
    return {
      value: median(ours) / median(seconds),
      note: `${milliseconds(median(ours))}, on disk, against ${milliseconds(median(seconds))}, or ${milliseconds(median(synced))} until that is on disk`,
      samples: { thaw: ours, criu: seconds, criu_synced: synced },
    }
  } finally {
    await program.end()
  }
}
