// Runs the edits of a bundle again: the last one alone, then all of them.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { environment } from './campaign.mjs'
import { interpreterFor } from './libraries.mjs'
import { loadPrograms } from './programs.mjs'
import { Sequence } from './sequence.mjs'

/** @returns {Promise<boolean>} whether thaw and the cold runs agree by now */
export async function replayBundle(bundle, { thaw, python, fetch = false, out, say }) {
  const program = loadPrograms().find((one) => one.name === bundle.program)
  const found = interpreterFor(program, python, fetch, say)
  if (found.reason) throw new Error(found.reason)
  for (const [name, edits] of [
    ['the last edit alone', bundle.shortest],
    [`all ${bundle.whole.length - 1} edits`, bundle.whole],
  ]) {
    const root = mkdtempSync(join(tmpdir(), 'thaw-exactness-'))
    const home = join(root, 'home')
    mkdirSync(home, { mode: 0o700 })
    const commands = { thaw, python: found.python, env: environment(home) }
    const sequence = new Sequence({
      program,
      seed: bundle.seed,
      number: bundle.number,
      directory: join(root, 'trees'),
      commands,
      kinds: null,
      out: join(out, 'replayed'),
    })
    try {
      let step = await sequence.startFrom(edits[0].changes)
      for (const edit of edits.slice(1)) {
        if (step.verdict === 'different') break
        step = await sequence.play(edit)
        say(`${edit.kind}: ${step.verdict}, ${step.report?.outcome}`)
      }
      if (step.verdict === 'different') {
        say(`${name}: different\n    ${step.differences.join('\n    ')}\n    kept in ${step.bundle}`)
        return false
      }
      say(`${name}: no difference`)
    } finally {
      spawnSync(thaw[0], [...thaw.slice(1), 'daemon', 'stop'], {
        env: commands.env,
        stdio: 'ignore',
        timeout: 20_000,
      })
      rmSync(root, { recursive: true, force: true })
    }
  }
  return true
}
