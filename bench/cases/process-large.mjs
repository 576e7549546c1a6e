import { alternate, median } from '../measure.mjs'
import { prepare, restore, stopped } from '../processes.mjs'

export const name = 'process restore, large'
export const what = 'restore of a 1 GB program, ask to first answer, against one of 100 MB'
export const target = 2.5
export const unit = 'x'

export async function measure(bench, rounds) {
  await prepare(bench)
  const small = await stopped(bench, 100)
  const large = await stopped(bench, 1000)
  const [big, little] = await alternate(
    rounds,
    () => restore(bench, large),
    () => restore(bench, small),
  )
  return {
    value: median(big) / median(little),
    note: `${milliseconds(big)} against ${milliseconds(little)}`,
    samples: { large: big, small: little },
  }
}

const milliseconds = (values) => `${(1000 * median(values)).toFixed(0)} ms`
