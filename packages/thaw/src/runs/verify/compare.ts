/** What a recorded run and a cold one did, side by side. */
import { lstatSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Difference, ProgramExit } from '@thaw/protocol'
import type { z } from 'zod'
import type { Content } from '../../files/undo.js'
import { isOwn, linesOf, unified } from './differ.js'

type Exit = z.infer<typeof ProgramExit>

/** Lines of one difference that are shown. */
const SHOWN = 60
/** Larger texts are compared byte by byte only. */
const TEXT_LIMIT = 16 * 1024 * 1024

/** Something a run has made: what it is, and its bytes. */
export interface Thing {
  head: string
  bytes: Buffer
}

/** All that is compared of one run. */
export interface Result {
  exit: Exit
  stdout: Buffer
  stderr: Buffer
  files: Map<string, Thing>
}

const EMPTY = Buffer.alloc(0)
export const ABSENT: Thing = { head: 'not there', bytes: EMPTY }

const octal = (mode: number) => (mode & 0o7777).toString(8)

export function thingAt(path: string): Thing {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return ABSENT
  if (stat.isSymbolicLink()) return { head: `link to ${readlinkSync(path)}`, bytes: EMPTY }
  if (stat.isDirectory()) return { head: `directory ${octal(stat.mode)}`, bytes: EMPTY }
  if (!stat.isFile()) return { head: 'neither file nor directory', bytes: EMPTY }
  return { head: `file ${octal(stat.mode)}`, bytes: readFileSync(path) }
}

/** What was kept of a path. @throws when the file that keeps it is gone */
export function thingOf({ pre, mode }: Exclude<Content, 'unknown'>): Thing {
  if (pre === null) return ABSENT
  if (pre === 'dir') return { head: `directory ${octal(mode ?? 0o755)}`, bytes: EMPTY }
  if (typeof pre === 'object') return { head: `link to ${pre.link}`, bytes: EMPTY }
  return { head: `file ${octal(mode ?? 0o644)}`, bytes: readFileSync(pre) }
}

export function printedIn(directory: string, stream: 'stdout' | 'stderr'): Buffer {
  return readFileSync(join(directory, stream))
}

/** Its lines; null where it is no text. */
function textOf({ head, bytes }: Thing): string[] | null {
  if (bytes.length > TEXT_LIMIT || bytes.includes(0)) return null
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return head === '' ? linesOf(text) : [head, ...linesOf(text)]
  } catch {
    return null
  }
}

const same = (a: Thing, b: Thing) => a.head === b.head && a.bytes.equals(b.bytes)

function describeBytes(recorded: Thing, cold: Thing): string {
  const most = Math.min(recorded.bytes.length, cold.bytes.length)
  let at = 0
  while (at < most && recorded.bytes[at] === cold.bytes[at]) at++
  const tell = ({ head, bytes }: Thing) => `${head === '' ? '' : `${head}, `}${bytes.length} bytes`
  return `recorded: ${tell(recorded)}\ncold: ${tell(cold)}\nthe first difference is at byte ${at}\n`
}

/**
 * @param again what a second cold run did; null while there was none
 */
export function compare(recorded: Result, cold: Result, again: Result | null): Difference[] {
  const found: Difference[] = []
  const one = (
    what: Difference['what'],
    path: string | null,
    [then, now, next]: [Thing, Thing, Thing | null],
  ) => {
    if (same(then, now)) return
    const [a, b, c] = [textOf(then), textOf(now), next === null ? null : textOf(next)]
    const name = path ?? what
    const names = [`${name} (recorded)`, `${name} (cold)`] as const
    const diff =
      a === null || b === null
        ? describeBytes(then, now)
        : unified(a, b, names, SHOWN, '(and more: the bundle has all of it)')
    const own =
      next !== null && !same(now, next) && (a === null || b === null || c === null || isOwn(a, b, c))
    found.push({ what, path, own, diff })
  }
  const stream = (name: 'stdout' | 'stderr') =>
    one(name, null, [
      { head: '', bytes: recorded[name] },
      { head: '', bytes: cold[name] },
      again === null ? null : { head: '', bytes: again[name] },
    ])
  stream('stdout')
  stream('stderr')
  const told = ({ code, signal }: Exit) => (signal === null ? `exit code ${code}` : `ended by ${signal}`)
  if (told(recorded.exit) !== told(cold.exit)) {
    const own = again !== null && told(again.exit) !== told(cold.exit)
    found.push({
      what: 'exit',
      path: null,
      own,
      diff: `recorded: ${told(recorded.exit)}\ncold: ${told(cold.exit)}\n`,
    })
  }
  const paths = new Set([...recorded.files.keys(), ...cold.files.keys()])
  for (const path of [...paths].sort()) {
    const at = (result: Result) => result.files.get(path) ?? ABSENT
    one('file', path, [at(recorded), at(cold), again === null ? null : at(again)])
  }
  return found
}
