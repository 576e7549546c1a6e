/** Programs that want to be told that they are restored: `thaw.after_restore` in an instance (agents/python/thaw). */
import { readdirSync, readlinkSync } from 'node:fs'

/** A file in memory of this name is open in them. */
const MARK = '/memfd:thaw-after-restore (deleted)'
/** SIGRTMAX, which nothing else uses by custom. */
const SIGNAL = 64

/** While they stand still: they hear of it before their next instruction. */
export function tellRestored(pids: readonly number[]): void {
  for (const pid of pids.filter(wantsToBeTold)) {
    try {
      process.kill(pid, SIGNAL)
    } catch {
      // It has ended.
    }
  }
}

function wantsToBeTold(pid: number): boolean {
  const directory = `/proc/${pid}/fd`
  try {
    return readdirSync(directory).some((fd) => readlinkSync(`${directory}/${fd}`) === MARK)
  } catch {
    return false
  }
}
