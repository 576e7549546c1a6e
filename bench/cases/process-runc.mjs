import { alternate, median, milliseconds } from '../measure.mjs'
import { prepare, restore, stopped } from '../processes.mjs'
import { Runc } from '../runc.mjs'

export const name = 'process, runc'
export const what =
  'restore of a 100 MB program, ask to first answer, against `runc restore` of the same program with the same criu'
export const target = 1
export const unit = 'x'

export async function measure(bench, rounds) {
  await prepare(bench)
  const stop = await stopped(bench, 100)
  const runc = new Runc(bench, 100)
  const checkpoint = await runc.checkpoint()
  const [ours, theirs] = await alternate(
    rounds,
    () => restore(bench, stop),
    () => runc.restore(),
  )
  return {
    value: median(ours) / median(theirs),
    note: `${milliseconds(median(ours))} against ${milliseconds(median(theirs))}; runc checkpoint: ${milliseconds(checkpoint)}`,
    samples: { thaw: ours, runc: theirs, runc_checkpoint: [checkpoint] },
  }
}
