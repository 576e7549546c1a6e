import { join } from 'node:path'

import { edit } from '../workbench.mjs'

const TRIAL_LOOPS = '100_000'

/** A project whose stages.py takes about this many seconds here; answers its directory. */
export async function stages(bench, seconds) {
  const project = bench.project('stages.py')
  await bench.plain(project, ['stages.py'])
  const empty = (await bench.plain(project, ['-c', 'pass'])).seconds
  const trial = (await bench.plain(project, ['stages.py'])).seconds
  const loops = Math.round((100_000 * seconds) / (trial - empty))
  edit(join(project, 'stages.py'), `LOOPS = ${TRIAL_LOOPS}`, `LOOPS = ${loops}`)
  return project
}
