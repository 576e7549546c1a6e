import type { RepairReport } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { RunStream, type StreamHandlers } from '@thaw/sdk/run-stream'
import { appendFileSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { exitCode } from '../../system/exit-code.js'
import { findPaths } from '../../system/paths.js'
import { runInPlace } from '../../system/spawn.js'
import { BUILD } from '../../version.js'
import { ask } from '../client.js'
import { withDaemon } from '../connect.js'
import { say } from '../output.js'
import { print } from '../print.js'
import { renderRepairs } from '../render/repairs.js'
import { ownStart } from '../run.js'
import { openReport, session } from '../session.js'
import { parseRepairArguments, type RepairOptions } from './arguments.js'
import { answerByHand } from './interactive.js'
import { makeRepairRequest } from './request.js'

const PASSED = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const

/** `thaw repair` and what stands below it. @returns the exit code */
export async function repair(argv: readonly string[]): Promise<number> {
  const given = parseRepairArguments(argv)
  switch (given.verb) {
    case 'help':
      await print(given.text, false, (text) => text)
      return 0
    case 'ls':
      await print(await ask((client) => client.repairs.list()), given.json, renderRepairs)
      return 0
    case 'show':
      await print(await ask((client) => client.repairs.get(given.id)), true, () => '')
      return 0
    case 'undo': {
      useDirectory(given.options.workingDir)
      const { id, files } = await ask((client) => client.repairs.undo(given.id, process.cwd()))
      say(`thaw: ${id} is undone: ${files.length === 0 ? 'nothing was to be done' : files.join(', ')}`)
      return 0
    }
    case 'run':
      return given.options.normalRun ? plainly(given.command) : repaired(given.command, given.options)
  }
}

async function plainly(command: readonly string[]): Promise<number> {
  return exitCode(await runInPlace(command, PASSED, ownStart()))
}

/** -D: everything that thaw keeps, for this command. */
function useDirectory(directory: string | null): void {
  if (directory === null) return
  const whole = resolve(directory)
  try {
    mkdirSync(whole, { recursive: true })
  } catch (error) {
    throw new ThawError('STATE_UNWRITABLE', `${whole} cannot be made.`, { cause: error })
  }
  process.env['THAW_HOME'] = whole
}

async function repaired(command: readonly string[], options: RepairOptions): Promise<number> {
  const env = ownStart().env as Record<string, string>
  useDirectory(options.workingDir)
  const paths = findPaths()
  const log = openLog(options)
  const report = options.report === null ? null : openReport(options.report)
  const note = (text: string, detail: boolean) => {
    log(text)
    if (!options.quiet && (options.verbose || !detail)) say(`thaw: ${text}`)
  }
  const { interactive, terminal, quiet } = options
  let stream: RunStream | undefined
  const { end } = await session(
    { terminal, quiet, stdin: interactive ? 'null' : null },
    async (io, handlers) => {
      const all: StreamHandlers = {
        ...handlers,
        onNote: ({ text, detail }) => note(text, detail),
        onQuestion: ({ bundle, directory }) => {
          void answerByHand(bundle, directory).then((answer) => stream?.answer(answer))
        },
      }
      const request = makeRepairRequest(command, options, io, env)
      return withDaemon(paths, async () => {
        stream = await RunStream.open(paths.socket, '/v1/repairs/stream', request, all, BUILD)
        return stream
      })
    },
  )
  if (end.t !== 'repaired') throw new ThawError('INTERNAL', 'The stream of a repair ended as that of a run.')
  const { report: ended, summary }: { report: RepairReport; summary: string } = end
  report?.write(`${JSON.stringify(ended, null, 2)}\n`)
  log(summary)
  if (!quiet) say(`thaw: ${summary}`)
  return ended.exit_code
}

/** What is done goes there line by line, with times. */
function openLog({ log, workingDir }: RepairOptions): (text: string) => void {
  if (log === null) return () => {}
  const file = workingDir === null ? resolve(log) : resolve(workingDir, log)
  const write = (text: string) => {
    try {
      appendFileSync(file, text, { mode: 0o600 })
    } catch (error) {
      throw new ThawError('REPORT_UNWRITABLE', `${file} cannot be written.`, { cause: error })
    }
  }
  mkdirSync(dirname(file), { recursive: true })
  write('')
  return (text) => write(`${new Date().toISOString()} ${text}\n`)
}
