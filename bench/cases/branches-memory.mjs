import { COUNT, compare } from '../branches.mjs'
import { median } from '../measure.mjs'

export const name = 'branches, memory'
export const what = `memory of its own that each of ${COUNT} branches of a 50 MB program has before it writes`
export const target = 3
export const unit = 'MB'

export async function measure(bench) {
  const samples = await compare(bench, 1)
  const [ours, bare] = [median(samples.branch_bytes) / 1e6, median(samples.bare_bytes) / 1e6]
  return { value: ours, note: `a bare fork has ${bare.toFixed(1)} MB`, samples }
}
