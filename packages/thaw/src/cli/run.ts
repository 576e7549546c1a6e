import type { RunReport, RunRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { RunStream, type StreamEnd, type StreamHandlers } from '@thaw/sdk/run-stream'
import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'
import { exitCode, signalCode } from '../system/exit-code.js'
import { findPaths } from '../system/paths.js'
import { BUILD } from '../version.js'
import { withDaemon } from './connect.js'
import { openInput, type Input } from './input.js'
import { openForReport, outputTo, say, type Output } from './output.js'
import { parseRunArguments, type RunArguments } from './run-arguments.js'

/** Opens the stream of a run. */
export type OpenStream = (request: RunRequestInput, handlers: StreamHandlers) => Promise<RunStream>

/**
 * `thaw run`: the command people wait for. Everything it loads at start is on this file's list of imports: neither
 * schemas nor an HTTP library.
 *
 * @returns the exit code
 */
export async function run(argv: readonly string[]): Promise<number> {
  const given = parseRunArguments(argv)
  if (given.help) {
    const { RUN_HELP } = await import('./run-help.js')
    process.stdout.write(RUN_HELP)
    return 0
  }
  const paths = findPaths()
  const report = given.report === null ? null : openReport(given.report)
  const { end, quiet } = await runOnce(given, (request, handlers) =>
    withDaemon(paths, () => RunStream.open(paths.socket, '/v1/runs/stream', request, handlers, BUILD)),
  )
  report?.write(`${JSON.stringify(end.report, null, 2)}\n`)
  if (!quiet) say(`thaw: ${end.summary}`)
  return codeOf(end.report)
}

/** Runs a command with this process's streams and signals. */
export async function runOnce(
  given: RunArguments,
  open: OpenStream,
): Promise<{ end: Extract<StreamEnd, { t: 'done' }>; quiet: boolean }> {
  const outputs = { stdout: outputTo(1), stderr: outputTo(2) }
  let stream: RunStream | undefined
  let quiet = given.quiet
  const input = openInput(
    (chunk) => stream?.stdin(chunk),
    () => stream?.stdinEnd(),
    given.terminal,
  )
  const handlers: StreamHandlers = {
    onStarted: (message) => {
      quiet = message.quiet
      if (!quiet) for (const notice of message.notices) say(`thaw: ${notice}`)
    },
    onStdout: passOn('stdout', outputs.stdout, () => stream),
    onStderr: passOn('stderr', outputs.stderr, () => stream),
    onStdinWanted: (bytes) => input.want(bytes),
  }
  passSignals(() => stream, input)
  try {
    stream = await open(makeRequest(given, input), handlers)
    const end = await stream.done
    if (end.t !== 'done') throw new ThawError('INTERNAL', 'The stream of a run ended as that of a branch.')
    await Promise.allSettled([outputs.stdout.flush(), outputs.stderr.flush()])
    return { end, quiet }
  } finally {
    input.close()
  }
}

function codeOf(report: RunReport): number {
  return report.exit === null ? 0 : exitCode(report.exit)
}

export function makeRequest(given: RunArguments, input: Pick<Input, 'kind'>): RunRequestInput {
  const size = given.terminal ? terminalSize() : null
  return {
    command: given.command,
    cwd: currentDirectory(),
    env: process.env as Record<string, string>,
    fresh: given.fresh,
    engine: given.engine as RunRequestInput['engine'],
    effects: given.effects as RunRequestInput['effects'],
    quiet: given.quiet ? true : null,
    terminal: size,
    stdin: input.kind,
    typed: isatty(0),
    joined: sameFile(1, 2),
    umask: process.umask(),
  }
}

function currentDirectory(): string {
  try {
    return process.cwd()
  } catch (error) {
    const where = process.env['PWD']
    throw new ThawError(
      'DIRECTORY_GONE',
      `The current directory${where === undefined ? '' : ` ${where}`} is gone.`,
      {
        cause: error,
      },
    )
  }
}

function sameFile(a: number, b: number): boolean {
  const [first, second] = [fstatSync(a, { bigint: true }), fstatSync(b, { bigint: true })]
  return first.dev === second.dev && first.ino === second.ino
}

export function openReport(file: string): { write(text: string): void } {
  try {
    return openForReport(file)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new ThawError('REPORT_UNWRITABLE', `${file} cannot be written (${code}).`, { cause: error })
  }
}

function passOn(name: 'stdout' | 'stderr', to: Output, stream: () => RunStream | undefined) {
  let broken = false
  const onError = (): void => {
    broken = true
    stream()?.closed(name)
  }
  return (chunk: Uint8Array): void | Promise<void> => {
    if (broken) return
    try {
      const wait = to.write(chunk)
      return wait === undefined ? undefined : wait.catch(onError)
    } catch {
      onError()
    }
  }
}

/** Ctrl-C is passed on once, the second one kills; a closed terminal stops the run. */
function passSignals(stream: () => RunStream | undefined, input: Input): void {
  let interrupts = 0
  const leave = (name: NodeJS.Signals) => {
    input.close()
    stream()?.destroy()
    process.exit(signalCode(name))
  }
  process.on('SIGINT', () => {
    const open = stream()
    if (open === undefined) return leave('SIGINT')
    interrupts++
    open.signal(interrupts === 1 ? 'SIGINT' : 'SIGKILL')
  })
  for (const name of ['SIGTERM', 'SIGQUIT'] as const) {
    process.on(name, () => {
      const open = stream()
      if (open === undefined) leave(name)
      else open.signal(name)
    })
  }
  process.on('SIGHUP', () => leave('SIGHUP'))
  process.on('SIGWINCH', () => {
    const size = terminalSize()
    stream()?.resize(size.rows, size.cols)
  })
}

function terminalSize(): { rows: number; cols: number } {
  for (const [fd, stream] of [
    [1, 'stdout'],
    [2, 'stderr'],
  ] as const) {
    if (!isatty(fd)) continue
    const { rows, columns } = process[stream]
    if (rows > 0 && columns > 0) return { rows, cols: columns }
  }
  return { rows: 24, cols: 80 }
}
