/** One cold run of a command that is copied from outside: in a sandbox like its own, with a copy in its project's place. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { ProcessGroup } from '../../engines/process/group.js'
import { ProcessImage } from '../../engines/process/image.js'
import type { Seen } from '../../engines/process/setting.js'
import { grant, ThawError, type Scope } from '../../system/index.js'
import { seconds } from '../launch.js'
import { chainOf, type BranchRecord } from '../lineage.js'
import { OutputRecord } from '../record.js'
import { rootOf } from '../roots.js'
import type { Run } from '../run.js'
import type { Workshop } from '../workshop.js'
import { feed, listenInto, type ColdRun, type Sent } from './cold.js'
import type { ProjectCopy } from './copy.js'

/** What every branch of a lineage was sent on stdin, up to where the next one goes on. */
export function sentTo(run: Run, leaf: BranchRecord): Sent[] {
  const chain = chainOf(leaf)
  let putBack = 0
  let ended = false
  return chain.map((branch, i) => {
    const file = join(run.branchDirectory(branch.id), 'stdin')
    // After its end a program is sent nothing more.
    if (ended) return { file, bytes: 0 }
    const image = chain[i + 1]?.parent?.image
    if (!(image instanceof ProcessImage)) return { file, bytes: Infinity }
    const { counts, sizes, stdinEnded } = image.manifest
    ended = stdinEnded
    const unread = sizes['stdin'] ?? 0
    // What a branch had not read its successor was given again, before its own.
    const bytes = counts.stdin + unread - putBack
    putBack = unread
    return { file, bytes }
  })
}

/** The copy in the project's place, in a root file system. */
const shown = ({ project, directory, shared }: ProjectCopy): Seen[] => [
  { path: project, from: directory, writable: true },
  ...shared.map((name) => ({ path: join(project, name), writable: false })),
]

/**
 * @param directory for its output
 * @param limit bytes of each stream that are kept
 */
export async function runSandboxed(
  shop: Workshop,
  run: Run,
  leaf: BranchRecord,
  copy: ProjectCopy,
  { directory, limit }: { directory: string; limit: number },
  scope: Scope,
): Promise<ColdRun> {
  const { command, cwd, project } = run.identity
  const [first = leaf] = chainOf(leaf)
  const output = new OutputRecord(directory, limit)
  const places = [join(directory, 'images'), join(directory, 'work')] as const
  const group = ProcessGroup.open(...places, scope.log)
  const stop = () => void group[Symbol.asyncDispose]()
  try {
    const from = performance.now()
    const branch = await shop.process.launch(
      group,
      {
        branch: shop.newId('b'),
        argv: command,
        env: first.env,
        cwd,
        umask: first.root.umask,
        allowance: grant(first.root.allowance).given,
        streams: first.streams,
        listener: listenInto(output),
        network: leaf.sandbox?.network ?? 'host',
        visible: [project],
        ...(first.root.files === null ? { instead: copy } : rootOf(first.root, false, () => shown(copy))),
      },
      scope,
    )
    scope.signal.addEventListener('abort', stop, { once: true })
    if (scope.signal.aborted) stop()
    if (first.streams.stdin === 'stream') void feed(branch, sentTo(run, leaf))
    const { code, signal } = await branch.exited
    const took = seconds(from)
    if (scope.signal.aborted) throw new ThawError('CANCELLED', 'Cancelled while the cold run was under way.')
    return { exit: { code, signal }, seconds: took, directory }
  } finally {
    scope.signal.removeEventListener('abort', stop)
    await group[Symbol.asyncDispose]()
    output.close()
    for (const place of places) rmSync(place, { recursive: true, force: true })
  }
}
