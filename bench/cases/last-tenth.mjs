import { join } from 'node:path'

import { alternate, median, now } from '../measure.mjs'
import { edit } from '../workbench.mjs'
import { stages } from './stages.mjs'

export const name = 'last tenth'
export const what = 'edit of the last tenth of a 5 s program, edit to exit, against a cold plain run'
export const target = 0.15
export const unit = 'x'

export async function measure(bench, rounds) {
  const project = await stages(bench, 5)
  const file = join(project, 'stages.py')
  await bench.thaw(project, ['stages.py'], { outcome: 'cold' })
  let constant = 10
  let edited = ''
  const [thaw, cold] = await alternate(
    rounds,
    async () => {
      edit(file, `spin(value + ${constant})`, `spin(value + ${constant + 10})`)
      constant += 10
      const started = now()
      const result = await bench.thaw(project, ['stages.py'], { outcome: 'resumed' })
      const seconds = now() - started
      edited = result.stdout
      if ((await bench.plain(project, ['stages.py'])).stdout !== edited)
        throw new Error('the output differs from a cold run')
      return seconds
    },
    async () => (await bench.plain(project, ['stages.py'])).seconds,
  )
  return { value: median(thaw) / median(cold), samples: { thaw, cold } }
}
