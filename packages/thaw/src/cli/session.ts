import type { RunReport } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import type { FrameStream, StreamEnd, StreamHandlers } from '@thaw/sdk/run-stream'
import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'
import { exitCode, signalCode } from '../system/exit-code.js'
import { NO_INPUT, openInput, type Input } from './input.js'
import { openForReport, outputTo, say, type Output } from './output.js'

export interface SessionSpec {
  terminal: boolean
  quiet: boolean
  /** The program's stdin, where it is not this process's. */
  stdin?: 'null' | null
  /** How output of several branches is shown; needed where there may be several. */
  numbered?: (outputs: Record<'stdout' | 'stderr', Output>) => Numbered
}

export interface Numbered {
  write(number: number, stream: 'stdout' | 'stderr', bytes: Uint8Array): void | Promise<void>
  /** What is left when all has ended. */
  end(): void | Promise<void>
}

/** What this process has for the program. */
export interface Io {
  stdin: Input['kind']
  joined: boolean
  terminal: { rows: number; cols: number } | null
}

export interface SessionEnd<End extends StreamEnd = Extract<StreamEnd, { t: 'done' }>> {
  end: End
  quiet: boolean
}

type Open = (io: Io, handlers: StreamHandlers) => Promise<FrameStream>

/**
 * A command in the foreground, with a report and a last line of thaw's own.
 *
 * @returns the exit code
 */
export async function converse(spec: SessionSpec & { report: string | null }, open: Open): Promise<number> {
  const report = spec.report === null ? null : openReport(spec.report)
  const { end, quiet } = await session(spec, open)
  if (end.t !== 'done') throw new ThawError('INTERNAL', 'The stream of a run ended as that of a branch.')
  report?.write(`${JSON.stringify(end.report, null, 2)}\n`)
  if (!quiet) say(`thaw: ${end.summary}`)
  return codeOf(end.report)
}

/**
 * Connects this process's streams, signals and window size to what the daemon runs. Loaded by the command people wait
 * for: neither schemas nor an HTTP library.
 */
export async function session(spec: SessionSpec, open: Open): Promise<SessionEnd<StreamEnd>> {
  const outputs = { stdout: outputTo(1), stderr: outputTo(2) }
  const numbered = spec.numbered?.(outputs)
  let stream: FrameStream | undefined
  let quiet = spec.quiet
  const input =
    spec.stdin === 'null'
      ? NO_INPUT
      : openInput(
          (chunk) => stream?.stdin(chunk),
          () => stream?.stdinEnd(),
          spec.terminal,
        )
  const handlers: StreamHandlers = {
    onStarted: (message) => {
      quiet = message.quiet
      if (!quiet) for (const notice of message.notices) say(`thaw: ${notice}`)
    },
    onStdout: passOn('stdout', outputs.stdout, () => stream),
    onStderr: passOn('stderr', outputs.stderr, () => stream),
    onNumbered: (number, name, bytes) => numbered?.write(number, name, bytes),
    onStdinWanted: (bytes) => input.want(bytes),
  }
  passSignals(() => stream, input)
  try {
    stream = await open(ioOf(input.kind, spec.terminal), handlers)
    const end = await stream.done
    await numbered?.end()
    await Promise.allSettled([outputs.stdout.flush(), outputs.stderr.flush()])
    return { end, quiet }
  } finally {
    input.close()
  }
}

export function ioOf(stdin: Input['kind'], terminal: boolean): Io {
  return { stdin, joined: sameFile(1, 2), terminal: terminal ? terminalSize() : null }
}

function codeOf(report: RunReport): number {
  return report.exit === null ? 0 : exitCode(report.exit)
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

function passOn(name: 'stdout' | 'stderr', to: Output, stream: () => FrameStream | undefined) {
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
function passSignals(stream: () => FrameStream | undefined, input: Input): void {
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
  process.on('SIGWINCH', () =>
    // Node's own listener, which asks for the new size, may come after this one.
    setImmediate(() => {
      const size = terminalSize()
      stream()?.resize(size.rows, size.cols)
    }),
  )
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
