import { median } from '../measure.mjs'
import { stages } from './stages.mjs'

export const name = 'nothing changed'
export const what = 'nothing changed: replay of a 5 s program from the shell, start to exit'
export const target = 100
export const unit = 'ms'

export async function measure(bench, rounds) {
  const samples = {}
  for (const seconds of [0.5, 5]) {
    const project = await stages(bench, seconds)
    await bench.thaw(project, ['stages.py'], { outcome: 'cold' })
    await bench.thaw(project, ['stages.py'], { outcome: 'replayed' })
    const values = []
    for (let round = 0; round < 3 * rounds; round++) {
      values.push((await bench.thaw(project, ['stages.py'], { outcome: 'replayed' })).seconds)
    }
    samples[`replay_of_${seconds}_s`] = values
  }
  const [short, long] = Object.values(samples).map((values) => 1000 * median(values))
  return { value: long, samples, note: `a 0.5 s program: ${short.toFixed(0)} ms` }
}
