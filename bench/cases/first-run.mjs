import { alternate, median } from '../measure.mjs'

export const name = 'first run'
export const what = 'first run under thaw (warm cache) against the plain program, call-heavy, start to exit'
export const target = 1.05
export const unit = 'x'

export async function measure(bench, rounds) {
  const project = bench.project('calls.py')
  const [thaw, plain] = await alternate(
    rounds,
    async () => (await bench.thaw(project, ['calls.py'], { flags: ['--fresh'], outcome: 'cold' })).seconds,
    async () => (await bench.plain(project, ['calls.py'])).seconds,
  )
  return { value: median(thaw) / median(plain), samples: { thaw, plain } }
}
