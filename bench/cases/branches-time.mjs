import { COUNT, compare } from '../branches.mjs'
import { median } from '../measure.mjs'

export const name = 'branches, time'
export const what = `${COUNT} branches of a 50 MB program from one stop, until all have printed, against bare forks of it`
export const target = 1.5
export const unit = 'x'

export async function measure(bench, rounds) {
  const samples = await compare(bench, rounds)
  const [ours, bare] = [median(samples.branches), median(samples.bare)]
  const each = (seconds) => `${((1000 * seconds) / COUNT).toFixed(1)} ms`
  return { value: ours / bare, note: `${each(ours)} a branch, ${each(bare)} a bare fork`, samples }
}
