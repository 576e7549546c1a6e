/** What counts as a failure, and what is known of it. Text on stderr alone does not count. */
import { readFileSync, statSync } from 'node:fs'
import { isAbsolute, join, relative } from 'node:path'
import type { Failure, FailureKind, RunReport } from '@thaw/protocol'
import type { FailureMessage } from '@thaw/protocol/agent'
import { addedLines, type FileEdit } from './edit.js'
import type { Mask } from './mask.js'
import { failedTests } from './tests-failed.js'

/** Lines of source shown on each side of where a frame stands. */
const AROUND = 4
const SOURCE_LIMIT = 4 * 1024 * 1024

/** How one attempt of the program came out. */
export interface Ended {
  report: RunReport
  /** The end of what it printed. */
  output: { stdout: string; stderr: string }
  told: FailureMessage | null
  toldTests: readonly FailureMessage[]
  /** What its interpreter or a debugger said of a crash. */
  fault: string
  timedOut: boolean
  /** Of the user's check; null where there was none. */
  check: { code: number | null; said: string } | null
  /** What of stderr is a failure; null where nothing. */
  matched: string | null
}

export interface Place {
  project: string
  cwd: string
  /** Whether all files of the program are those of this machine. */
  isHere: boolean
}

/** Null where it succeeded. */
export function failureOf(ended: Ended, place: Place, mask: Mask): Failure | null {
  const kind = kindOf(ended)
  if (kind === null) return null
  const { told, report, check } = ended
  const shown = (list: FailureMessage['exceptions'] = []) => list.map((one) => shownAs(one, place, mask))
  const tests = kind === 'test' ? failedTests(`${ended.output.stdout}\n${ended.output.stderr}`) : []
  const failure: Failure = {
    kind,
    summary: '',
    exit: report.exit,
    exceptions: kind === 'test' ? [] : shown(told?.exceptions),
    tests: tests.map(({ id, message }) => ({
      id,
      message: mask.text(message),
      exceptions: shown(ended.toldTests.findLast(({ test }) => test === id)?.exceptions),
    })),
    stack: ended.fault === '' ? null : mask.text(ended.fault),
  }
  const said = kind === 'check' ? (check?.said ?? '') : kind === 'output' ? (ended.matched ?? '') : ''
  return { ...failure, summary: mask.text(summaryOf(failure, lastLine(said))) }
}

function shownAs(
  { type, message, frames }: FailureMessage['exceptions'][number],
  place: Place,
  mask: Mask,
): Failure['exceptions'][number] {
  return {
    type,
    message: mask.text(message),
    frames: frames.map((frame) => ({
      ...frame,
      file: shortPath(frame.file, place),
      source: (frame.project || place.isHere ? sourceAround(frame.file, frame.line) : []).map((one) => ({
        ...one,
        text: mask.line(one.text),
      })),
      locals: Object.fromEntries(
        Object.entries(frame.locals).map(([name, text]) => [name, mask.value(name, text)]),
      ),
    })),
  }
}

/** Why an edit has come to nothing: the same failure, or one in what it wrote; null where it has not. */
export function whyNoHelp(before: Failure, after: Failure, edits: readonly FileEdit[]): string | null {
  if (isSame(before, after)) return 'it fails as before'
  const place = after.exceptions[0]?.frames.findLast(({ project }) => project)
  const edited = edits.find(({ path }) => path === place?.file)
  if (place === undefined || edited === undefined || !addedLines(edited).has(place.line)) return null
  return `it fails itself: ${after.summary}`
}

/** The same failure at the same place. */
export function isSame(a: Failure, b: Failure): boolean {
  return signatureOf(a) === signatureOf(b)
}

function signatureOf({ kind, exit, exceptions, tests, summary }: Failure): string {
  const [first] = exceptions
  const inner = first?.frames.findLast(({ project }) => project)
  const text = inner?.source.find(({ line }) => line === inner.line)?.text.trim()
  const where =
    first === undefined ? summary : [first.type, first.message, inner?.file, inner?.function, text]
  return JSON.stringify([kind, exit, where, tests.map(({ id, message }) => [id, message])])
}

function kindOf({ report, told, output, timedOut, check, matched }: Ended): FailureKind | null {
  const { exit } = report
  if (timedOut) return 'hang'
  if (exit === null) return null
  if (exit.signal !== null) return 'signal'
  if (exit.code !== 0) {
    if (told?.kind === 'exception') return 'exception'
    return failedTests(`${output.stdout}\n${output.stderr}`).length > 0 ? 'test' : 'exit'
  }
  if (matched !== null) return 'output'
  return check !== null && check.code !== 0 ? 'check' : null
}

function summaryOf({ kind, exit, exceptions, tests }: Failure, said: string): string {
  const [first] = exceptions
  const inner = first?.frames.findLast(({ project }) => project) ?? first?.frames.at(-1)
  const at = inner === undefined ? '' : ` at ${inner.file}:${inner.line}`
  const behind = said === '' ? '' : `: ${said}`
  switch (kind) {
    case 'exception':
      return `${first?.type}${first?.message ? `: ${lastLine(first.message)}` : ''}${at}`
    case 'exit':
      return `exit code ${exit?.code}${at}`
    case 'signal':
      return `ended by ${exit?.signal}${at}`
    case 'hang':
      return `it did not end in time${at === '' ? '' : `; it stood${at}`}`
    case 'test':
      return tests.length === 1 ? `${tests[0]?.id} failed` : `${tests.length} tests failed`
    case 'check':
      return `the check failed${behind}`
    case 'output':
      return `stderr says so${behind}`
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 200) ?? ''
}

export function shortPath(file: string, { project, cwd }: Pick<Place, 'project' | 'cwd'>): string {
  const whole = isAbsolute(file) ? file : join(cwd, file)
  return whole.startsWith(`${project}/`) ? relative(project, whole) : file
}

function sourceAround(file: string, line: number): { line: number; text: string }[] {
  try {
    if (!isAbsolute(file) || statSync(file).size > SOURCE_LIMIT) return []
    const lines = readFileSync(file, 'utf8').split('\n')
    const first = Math.max(1, line - AROUND)
    return lines
      .slice(first - 1, line + AROUND)
      .map((text, i) => ({ line: first + i, text: text.slice(0, 500) }))
  } catch {
    // Code without a file.
    return []
  }
}
