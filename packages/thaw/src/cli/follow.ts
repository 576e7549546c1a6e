import type { AttachFrom, BranchNode } from '@thaw/protocol'
import { RunStream, type StreamHandlers } from '@thaw/sdk/run-stream'
import { findPaths } from '../system/paths.js'
import { BUILD } from '../version.js'
import { withDaemon } from './connect.js'
import { outputTo } from './output.js'

/** Exit code of a program that a broken pipe ended. */
const BROKEN_PIPE = 141

/**
 * Prints what a branch prints until it ends. Leaving (Ctrl-C, or a reader that has gone) does not disturb it.
 *
 * @param wanted the streams that are printed
 */
export async function followBranch(
  id: string,
  from: AttachFrom,
  wanted: readonly ('stdout' | 'stderr')[] = ['stdout', 'stderr'],
): Promise<BranchNode> {
  const paths = findPaths()
  const [stdout, stderr] = [outputTo(1), outputTo(2)]
  const handlers: StreamHandlers = {}
  if (wanted.includes('stdout')) handlers.onStdout = (chunk) => stdout.write(chunk)
  if (wanted.includes('stderr')) handlers.onStderr = (chunk) => stderr.write(chunk)
  const path = `/v1/branches/${encodeURIComponent(id)}/stream`
  try {
    const stream = await withDaemon(paths, () =>
      RunStream.open(paths.socket, path, { from }, handlers, BUILD),
    )
    const end = await stream.done
    await Promise.all([stdout.flush(), stderr.flush()])
    if (end.t !== 'ended') throw new Error('the stream of a branch ended as that of a run')
    return end.branch
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(BROKEN_PIPE)
    throw error
  }
}
