/** An edit that was answered: whole files before and after, checked against what a repair may touch. */
import { lstatSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, isAbsolute, join, normalize, relative } from 'node:path'
import { createTwoFilesPatch, structuredPatch } from 'diff'
import { isUnlisted } from '../files/signature.js'

/** Of one file, after the edit. Bytes. */
const FILE_LIMIT = 2 * 1024 * 1024
const FILES_LIMIT = 50
const PRIVATE = new Set(['.git', '.hg', '.svn', 'node_modules'])
/** What a diff of one file may take to make. Milliseconds. */
const DIFF_TIME = 5000

export interface FileEdit {
  /** Relative to the project. */
  path: string
  /** Null: the file is new. */
  before: Buffer | null
  after: Buffer
  mode: number
}

/** Why an answer cannot be taken. The repairer is told. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/**
 * A path of the project to which an answer may write, relative to it.
 *
 * @throws Refused
 */
export function checkPath(project: string, path: string): string {
  if (path === '' || path.includes('\0') || isAbsolute(path)) {
    throw new Refused(`${JSON.stringify(path)} is not a path relative to the project`)
  }
  const clean = normalize(path)
  const parts = clean.split('/')
  if (parts.includes('..') || clean === '.') throw new Refused(`${path} lies outside of the project`)
  const hidden = parts.find((part) => PRIVATE.has(part) || isUnlisted(part))
  if (hidden !== undefined) throw new Refused(`${path} is not the project's own (${hidden})`)
  const root = realpathSync(project)
  let parent = dirname(join(project, clean))
  while (lstatSync(parent, { throwIfNoEntry: false }) === undefined) parent = dirname(parent)
  const real = realpathSync(parent)
  if (real !== root && relative(root, real).startsWith('..')) {
    throw new Refused(`${path} leads out of the project`)
  }
  const found = lstatSync(join(project, clean), { throwIfNoEntry: false })
  if (found !== undefined && !found.isFile()) throw new Refused(`${path} is not a regular file`)
  return clean
}

export function contentOf(project: string, path: string): Pick<FileEdit, 'before' | 'mode'> {
  const file = join(project, path)
  const found = lstatSync(file, { throwIfNoEntry: false })
  if (found === undefined) return { before: null, mode: 0o644 }
  return { before: readFileSync(file), mode: found.mode & 0o777 }
}

/** @throws Refused where the edit is none, or too large, or no text */
export function checkEdits(edits: readonly FileEdit[], linesLeft: number): void {
  if (edits.length === 0) throw new Refused('it changes nothing')
  if (edits.length > FILES_LIMIT) throw new Refused(`it changes ${edits.length} files`)
  for (const { path, after } of edits) {
    if (after.length > FILE_LIMIT) throw new Refused(`${path} would have ${after.length} bytes`)
    if (after.includes(0)) throw new Refused(`${path} would not be text`)
  }
  const lines = changedLines(edits)
  if (lines > linesLeft) throw new Refused(`it changes ${lines} lines; ${Math.max(0, linesLeft)} are allowed`)
}

/** Lines added and removed. */
export function changedLines(edits: readonly FileEdit[]): number {
  let lines = 0
  for (const { before, after } of edits) {
    const made = structuredPatch('', '', text(before), text(after), '', '', {
      context: 0,
      timeout: DIFF_TIME,
    })
    // Two texts that have nothing in common.
    if (made === undefined) lines += text(before).split('\n').length + text(after).split('\n').length
    else for (const hunk of made.hunks) lines += hunk.lines.filter((line) => /^[-+]/.test(line)).length
  }
  return lines
}

/** Numbers of the lines of a file that an edit has made. */
export function addedLines({ before, after }: FileEdit): Set<number> {
  const made = structuredPatch('', '', text(before), text(after), '', '', { context: 0, timeout: DIFF_TIME })
  const added = new Set<number>()
  for (const hunk of made?.hunks ?? []) {
    let at = hunk.newStart
    for (const line of hunk.lines) {
      if (line.startsWith('+')) added.add(at)
      if (!/^[-\\]/.test(line)) at++
    }
  }
  return added
}

/** As `git apply` and `patch -p1` take it. */
export function unifiedDiff(edits: readonly FileEdit[]): string {
  return edits
    .map(({ path, before, after }) => {
      const old = before === null ? '/dev/null' : `a/${path}`
      const made = createTwoFilesPatch(old, `b/${path}`, text(before), text(after), undefined, undefined, {
        timeout: DIFF_TIME,
      })
      const body = (made ?? `--- ${old}\n+++ b/${path}\n`).replace(/^=+\n/, '')
      return `diff --git a/${path} b/${path}\n${before === null ? 'new file mode 100644\n' : ''}${body}`
    })
    .join('')
}

function text(content: Buffer | null): string {
  return content === null ? '' : content.toString('utf8')
}
