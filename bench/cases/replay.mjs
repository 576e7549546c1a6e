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
    const replay = async (standby) =>
      (await bench.thaw(project, ['stages.py'], { outcome: 'replayed', standby })).seconds
    const values = []
    const without = []
    for (let round = 0; round < 3 * rounds; round++) {
      values.push(await replay(true))
      without.push(await replay(false))
    }
    samples[`replay_of_${seconds}_s`] = values
    samples[`replay_of_${seconds}_s_without_standby`] = without
  }
  const [short, , long, without] = Object.values(samples).map((values) => 1000 * median(values))
  return {
    value: long,
    samples,
    note: `a 0.5 s program: ${short.toFixed(0)} ms; with no process standing by: ${without.toFixed(0)} ms`,
  }
}
