import { alternate, median, milliseconds } from '../measure.mjs'
import { bareRestore, prepare, restore, stopped } from '../processes.mjs'

export const name = 'process restore'
export const what =
  'restore of a 100 MB program, ask to first answer, against bare `criu restore` of the same image in namespaces of its own'
export const target = 1.3
export const unit = 'x'

export async function measure(bench, rounds) {
  await prepare(bench)
  const stop = await stopped(bench, 100)
  const [ours, bare] = await alternate(
    2 * rounds,
    () => restore(bench, stop),
    () => bareRestore(bench, stop),
  )
  return {
    value: median(ours) / median(bare),
    note: `${milliseconds(median(ours))} against ${milliseconds(median(bare))}`,
    samples: { thaw: ours, criu: bare },
  }
}
