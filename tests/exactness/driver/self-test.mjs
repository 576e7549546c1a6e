// Proves that the test can fail: stand-ins for thaw that are wrong in one way each must be found out.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { runCampaign } from './campaign.mjs'
import { loadPrograms } from './programs.mjs'

const STAND_IN = join(dirname(fileURLToPath(import.meta.url)), 'stand-in.mjs')
const EXPECTED = {
  plain: { wrong: false, programs: null, edits: 4 },
  'early-syntax': { wrong: false, programs: ['script'], edits: 2, kinds: ['syntax-error'] },
  'hushed-syntax': { wrong: true, programs: ['script'], edits: 1, kinds: ['syntax-error'] },
  'replay-first': { wrong: true, programs: ['script', 'streams'], edits: 3 },
  'stale-modules': { wrong: true, programs: ['package', 'tool'], edits: 4 },
  'lost-stderr': { wrong: true, programs: ['text'], edits: 2 },
  'shifted-lines': { wrong: true, programs: ['text'], edits: 2 },
  'wrong-exit': { wrong: true, programs: ['tool'], edits: 2 },
  'run-twice': { wrong: true, programs: ['simulate', 'journal'], edits: 4 },
  'missing-file': { wrong: true, programs: ['package'], edits: 2 },
  'extra-file': { wrong: true, programs: ['classes'], edits: 2 },
  'no-report': { wrong: true, programs: ['classes'], edits: 2 },
  'leaves-process': { wrong: true, programs: ['registry'], edits: 1 },
}

/** @returns {Promise<boolean>} whether every wrong stand-in was found out, and the right one was not blamed */
export async function selfTest({ python, out, say }) {
  let good = true
  for (const [name, { wrong, programs, edits, kinds = null }] of Object.entries(EXPECTED)) {
    const tally = await runCampaign({
      programs: loadPrograms().filter((program) => !programs || programs.includes(program.name)),
      edits,
      seed: 'self-test',
      jobs: 2,
      kinds,
      thaw: [process.execPath, STAND_IN, name],
      python,
      out: join(out, name),
      say: () => {},
    })
    const found = tally.differences.length
    const right = wrong ? found > 0 : found === 0 && tally.unstable.length === 0
    say(`${right ? 'ok' : 'FAILED'}: ${name}: ${found} differences in ${tally.total().edits} edits`)
    if (!right) say(tally.toString())
    good &&= right
  }
  return good
}
