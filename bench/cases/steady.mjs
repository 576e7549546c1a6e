import { alternate, median } from '../measure.mjs'

export const name = 'steady code'
export const what = 'call-heavy code after its first executions, under thaw against plain, inside the process'
export const target = 1
export const unit = 'x'

export async function measure(bench, rounds) {
  const project = bench.project('steady.py')
  const plainRun = async () => Number((await bench.plain(project, ['steady.py'])).stdout)
  const again = []
  const [thaw, plain] = await alternate(
    2 * rounds,
    async () =>
      Number((await bench.thaw(project, ['steady.py'], { flags: ['--fresh'], outcome: 'cold' })).stdout),
    async (round) => {
      if (round >= 0) again.push(await plainRun())
      return plainRun()
    },
  )
  // What plain Python differs from itself by is what this machine cannot tell apart.
  const noise = Math.abs(median(again) / median(plain) - 1)
  return {
    value: median(thaw) / median(plain),
    tolerance: Math.min(Math.max(noise, 0.01), 0.03),
    samples: { thaw, plain, plain_again: again },
    note: `plain against itself: ${(median(again) / median(plain)).toFixed(3)}; met if within that, at least 1 % and at most 3 %`,
  }
}
