/** The native backtrace of a crash: the program once more from its last checkpoint, beside the project, under gdb. */
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { StartRequest } from '@thaw/protocol'
import { findProgram } from '../languages/index.js'
import type { Runs } from '../runs/index.js'
import type { BranchRecord } from '../runs/lineage.js'
import { startProcess, withTimeout, type Child, type Scope } from '../system/index.js'
import { Attempt } from './attempt.js'
import type { Input } from './input.js'
import { makeTemporary } from './temporary.js'
import { Workplace } from './workplace.js'

/** Seconds that the program may take to crash again. */
const PATIENCE = 60
/** Milliseconds that gdb may take to attach. */
const ATTACH_TIME = 15_000
const LIMIT = 32 * 1024
const FATAL = 'SIGSEGV SIGBUS SIGFPE SIGILL SIGABRT SIGTRAP'

/** Null where there is no gdb, or it does not crash again. */
export async function nativeStack(
  runs: Runs,
  record: BranchRecord,
  request: StartRequest,
  input: Input,
  scope: Scope,
): Promise<string | null> {
  const gdb = findProgram('gdb', '/', process.env as Record<string, string>)
  const run = [...runs.workshop.runs.values()].find(({ branches }) => branches.includes(record))
  if (gdb === null || run === undefined) return null
  const work = makeTemporary(runs.workshop.paths)
  let child: Child | undefined
  let said = ''
  try {
    using place = await Workplace.open(runs.workshop, run.identity.project, join(work, 'copy'), scope)
    const before = async ({ pid }: { pid: number }) => {
      child = await startProcess(
        argvFor(gdb, pid),
        { cwd: '/', stdio: ['ignore', 'pipe', 'ignore'] },
        withTimeout(scope, PATIENCE * 1000),
      )
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        if (said.length < LIMIT) said += text
      })
      await attached(pid, child)
    }
    const attempt = new Attempt(runs, input.copy(), scope.signal)
    const spec = { run, leaf: record, copy: place.copy, edited: new Map(), request, before }
    await attempt.run((sink) => runs.try(spec, sink, scope), silent, PATIENCE, 0)
    await child?.exited
    const from = said.search(/^Program received signal/m)
    return from < 0 ? null : said.slice(from, from + LIMIT).trim()
  } catch (error) {
    scope.log.info('no native backtrace', { error })
    return null
  } finally {
    await child?.end()
    await rm(work, { recursive: true, force: true })
  }
}

const silent: Parameters<Attempt['run']>[1] = (started) => ({
  started,
  stdout: () => Promise.resolve(),
  stderr: () => Promise.resolve(),
})

function argvFor(gdb: string, pid: number): string[] {
  const commands = [
    'set pagination off',
    'set debuginfod enabled off',
    'set confirm off',
    'handle all nostop noprint pass',
    `handle ${FATAL} stop print`,
    `attach ${pid}`,
    'continue',
    'backtrace 40',
    'kill',
  ]
  return [gdb, '-nx', '-batch', '-q', ...commands.flatMap((command) => ['-ex', command])]
}

async function attached(pid: number, gdb: Child): Promise<void> {
  const over = gdb.exited.then(() => true)
  const tick = () => new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 20))
  for (const until = performance.now() + ATTACH_TIME; performance.now() < until;) {
    if (/^TracerPid:\s*[1-9]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))) return
    if (await Promise.race([over, tick()])) break
  }
  throw new Error('gdb could not attach')
}
