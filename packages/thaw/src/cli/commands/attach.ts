import { RunStream } from '@thaw/sdk/node'
import { exitCode } from '../../system/exit-code.js'
import { findPaths } from '../../system/paths.js'
import { BUILD } from '../../version.js'
import { withDaemon } from '../connect.js'
import { outputTo } from '../output.js'

/** Shows the output of a live run until it ends. Leaving (Ctrl-C) does not disturb it. */
export async function attach(id: string): Promise<number> {
  const paths = findPaths()
  const [stdout, stderr] = [outputTo(1), outputTo(2)]
  const handlers = {
    onStdout: (chunk: Uint8Array) => stdout.write(chunk),
    onStderr: (chunk: Uint8Array) => stderr.write(chunk),
  }
  const path = `/v1/branches/${encodeURIComponent(id)}/stream`
  const stream = await withDaemon(paths, () => RunStream.open(paths.socket, path, {}, handlers, BUILD))
  const end = await stream.done
  await Promise.allSettled([stdout.flush(), stderr.flush()])
  if (end.t !== 'ended') return 0
  return end.branch.exit === null ? 0 : exitCode(end.branch.exit)
}
