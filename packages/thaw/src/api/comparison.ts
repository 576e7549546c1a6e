/** How the output of two branches differs. */
import type { Comparison } from '@thaw/protocol'
import { linesOf, unified } from '../runs/verify/differ.js'
import type { RunsPort } from './ports.js'

/** Of each stream so much is compared, and so many lines of the difference are told. Bytes, lines. */
const MOST_BYTES = 4 * 1024 * 1024
const MOST_LINES = 400

type Side = Comparison['a']

/** @param a a branch with its whole id */
export async function compareBranches(runs: RunsPort, a: Side, b: Side): Promise<Comparison> {
  const [stdout, stderr] = await Promise.all(
    (['stdout', 'stderr'] as const).map((stream) => compareStreams(runs, a.branch, b.branch, stream)),
  )
  if (stdout === undefined || stderr === undefined) throw new TypeError('A stream was not compared.')
  const sameExit = a.exit?.code === b.exit?.code && a.exit?.signal === b.exit?.signal
  return { a, b, same: stdout.same && stderr.same && sameExit, stdout, stderr }
}

async function compareStreams(
  runs: RunsPort,
  a: string,
  b: string,
  stream: 'stdout' | 'stderr',
): Promise<Comparison['stdout']> {
  const [one, other] = await Promise.all([a, b].map((branch) => beginningOf(runs.logs(branch, stream))))
  if (one === undefined || other === undefined) throw new TypeError('A record was not read.')
  const complete = one.complete && other.complete
  if (one.bytes.equals(other.bytes)) return { same: complete, diff: '', complete }
  const texts = [one, other].map(({ bytes }) => linesOf(bytes.toString('utf8'))) as [string[], string[]]
  const rest = '(and more)'
  const diff = unified(...texts, [`${stream} of ${a}`, `${stream} of ${b}`], MOST_LINES, rest)
  return { same: false, diff, complete: complete && !diff.endsWith(`${rest}\n`) }
}

async function beginningOf(part: AsyncIterable<Uint8Array>): Promise<{ bytes: Buffer; complete: boolean }> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of part) {
    chunks.push(chunk)
    size += chunk.length
    if (size > MOST_BYTES) break
  }
  const bytes = Buffer.concat(chunks)
  return { bytes: bytes.subarray(0, MOST_BYTES), complete: bytes.length <= MOST_BYTES }
}
