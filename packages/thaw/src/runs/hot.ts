/** Edited code for a process that keeps its state, whatever has run. */
import type { Change } from '@thaw/protocol'
import { framePatch, type FilePatch } from '@thaw/protocol/agent'
import { noteChanges } from './changes.js'
import type { Group } from './group.js'
import { versionsAt, type Checkpoint } from './lineage.js'
import type { Present } from './present.js'

export interface HotPlan {
  files: FilePatch[]
  changed: Change[]
  /** Units that are on the stack with what ran of them edited: their frames go on as they were. */
  running: string[]
}

/** @throws ThawError SYNTAX_ERROR: the process keeps waiting as it is */
export async function planHot(checkpoint: Checkpoint, group: Group, present: Present): Promise<HotPlan> {
  const changes = new Map<string, Change>()
  const files: FilePatch[] = []
  const running: string[] = []
  for (const [file, old] of versionsAt(checkpoint.branch, checkpoint.seq)) {
    const now = present.source(file)
    if (now === null || now === old) continue
    await group.compiled(file)
    const [diff, anew] = [await group.diff(file, old, now), await group.anew(file, old, now)]
    if (diff === null || anew === null) continue
    noteChanges(file, diff, changes)
    const frames: FilePatch['frames'] = []
    for (const unit of diff.changed) {
      const on = checkpoint.stack.filter((frame) => frame.file === file && frame.unit === unit)
      const [only] = on
      if (only === undefined) continue
      const answer = on.length > 1 ? null : await group.remap(file, old, now, only)
      const patch = framePatch.safeParse({ unit, ...answer })
      if (patch.success) frames.push(patch.data)
      else running.push(unit)
    }
    files.push({ file, old, new: now, changed: diff.changed, frames, ...anew, hot: true })
  }
  return { files, changed: [...changes.values()], running }
}
