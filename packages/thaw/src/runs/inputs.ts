/** The files that a run has to do with, for those who wait for one of them to change. */
import type { RunInputs } from '@thaw/protocol'
import type { Run } from './run.js'

export function inputsOf(run: Run): RunInputs {
  const used = new Set<string>()
  const listed = new Set<string>()
  const written = new Set<string>()
  let complete = run.branches.length > 0
  for (const branch of run.branches) {
    // What it used nobody knows.
    if (!branch.watched) complete = false
    for (const event of branch.events) {
      switch (event[1]) {
        case 'load':
        case 'read':
        case 'stat':
          used.add(event[2])
          break
        case 'list':
          listed.add(event[2])
          break
        case 'opaque':
          complete = false
          break
        case 'effect':
          // Other programs use what they like.
          if (event[2] === 'child') complete = false
          break
        default:
      }
    }
    for (const { path } of branch.writes) written.add(path)
  }
  return {
    project: run.identity.project,
    used: [...used],
    listed: [...listed],
    written: [...written],
    complete,
  }
}
