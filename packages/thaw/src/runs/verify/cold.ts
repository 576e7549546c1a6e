/** One cold run of a recorded command, plainly, in a private copy of its project. */
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Branch, BranchExit, BranchListener } from '../../engines/engine.js'
import { Family } from '../../engines/fork/family.js'
import { grant, ThawError, type Scope } from '../../system/index.js'
import { seconds } from '../launch.js'
import type { BranchRecord } from '../lineage.js'
import { OutputRecord } from '../record.js'
import type { Run } from '../run.js'
import type { Workshop } from '../workshop.js'
import { privateProgram, type ProjectCopy } from './copy.js'

const CHUNK = 64 * 1024

export interface ColdRun {
  exit: Pick<BranchExit, 'code' | 'signal'>
  seconds: number
  /** Where `stdout` and `stderr` lie. */
  directory: string
}

/** Text in which one path stands for another; only whole names are replaced. */
export function relocated(text: string, from: string, to: string): string {
  const literal = from.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')
  return text.replace(new RegExp(`${literal}(?![\\w.-])`, 'g'), () => to)
}

/**
 * @param python any that can look after processes
 * @param directory for its output; made here
 * @param limit bytes of each stream that are kept
 */
export async function runCold(
  shop: Workshop,
  run: Run,
  leaf: BranchRecord,
  copy: ProjectCopy,
  { python, directory, limit }: { python: string; directory: string; limit: number },
  scope: Scope,
): Promise<ColdRun> {
  const { command, cwd } = run.identity
  const { paths, engine } = shop
  const place = (text: string) => (copy.private ? text : relocated(text, copy.project, copy.directory))
  const failure = join(directory, 'failure')
  const output = new OutputRecord(directory, limit)
  const family = await Family.open(python, paths.runtime, paths.cache, 0, scope)
  const stop = () => void family[Symbol.asyncDispose]()
  try {
    const view = JSON.stringify({ ...copy, copy: copy.directory, cwd: place(cwd), failure })
    const env = Object.fromEntries(Object.entries(leaf.env).map(([name, value]) => [name, place(value)]))
    const from = performance.now()
    const branch = await engine.launch(
      family,
      {
        branch: shop.newId('b'),
        argv: [python, '-I', '-S', privateProgram(), 'run', view, ...command.map(place)],
        env,
        cwd: '/',
        umask: leaf.root.umask,
        allowance: grant(leaf.root.allowance).given,
        streams: leaf.streams,
        listener: listenInto(output),
      },
      scope,
    )
    scope.signal.addEventListener('abort', stop, { once: true })
    if (scope.signal.aborted) stop()
    if (leaf.streams.stdin === 'stream') {
      void feed(branch, [{ file: join(run.branchDirectory(leaf.id), 'stdin'), bytes: Infinity }])
    }
    const { code, signal } = await branch.exited
    const took = seconds(from)
    if (scope.signal.aborted) throw new ThawError('CANCELLED', 'Cancelled while the cold run was under way.')
    if (existsSync(failure)) {
      const why = `${command[0]} could not be started (${readFileSync(failure, 'utf8')}).`
      throw new ThawError('ENGINE_FAILED', why)
    }
    return { exit: { code, signal }, seconds: took, directory }
  } finally {
    scope.signal.removeEventListener('abort', stop)
    await family[Symbol.asyncDispose]()
    output.close()
  }
}

export function listenInto(output: OutputRecord): BranchListener {
  return {
    output: (stream, bytes) => {
      output.append(stream, bytes)
      return true
    },
    events: () => {},
    write: () => {},
    cut: () => {},
    checkpoint: () => Promise.resolve(),
    refused: () => {},
    end: () => {},
  }
}

/** A file with what came on stdin, and how much of it counts. */
export interface Sent {
  file: string
  bytes: number
}

/** Everything that the recorded run was sent, and then its end. */
export async function feed(branch: Branch, sent: readonly Sent[]): Promise<void> {
  for (const { file, bytes } of sent) {
    const fd = openSync(file, 'r')
    try {
      for (let left = bytes; left > 0;) {
        const buffer = Buffer.allocUnsafe(Math.min(CHUNK, left))
        const size = readSync(fd, buffer)
        if (size === 0) break
        left -= size
        await branch.writeStdin(buffer.subarray(0, size))
      }
    } finally {
      closeSync(fd)
    }
  }
  branch.endStdin()
}
